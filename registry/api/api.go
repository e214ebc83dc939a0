// Package api is the wire form of /v1, the part of a server that is not an OCI
// registry: what its requests and answers look like, what its errors mean, and
// a [Client] that speaks it. The server's handlers and the programs that call
// them share these types, so that they cannot drift apart.
//
// Every answer is one JSON object with schemaVersion 1; requests are read
// strictly: unknown, missing and duplicate members are refused by name.
// docs/spec/api.md lists the routes and who may use them.
package api

import (
	"time"

	"github.com/patchfit/patchfit/attest"
)

// SchemaVersion is the version of every object of this API.
const SchemaVersion = 1

// The media types of the bodies that are not requests of this package.
const (
	MediaJSON     = "application/json"
	MediaEnvelope = "application/vnd.dsse.envelope.v1+json" // trust policies, host records
	MediaBundle   = attest.ArtifactBundle                   // revocations
)

// Limits of request bodies, in bytes.
const (
	MaxRequest  = 64 << 10
	MaxEnvelope = 1 << 20
	MaxBundle   = 1 << 20
	MaxTUF      = 4 << 20
)

// The states of a host. Only an active host may have anything; a revoked one
// never comes back.
const (
	HostActive    = "active"
	HostSuspended = "suspended"
	HostRevoked   = "revoked"
)

// The roles a principal has in a product. RoleHost comes with enrolment and
// cannot be granted; AllProducts goes with RoleAdmin and RoleAuditor only.
const (
	RoleHost      = "host"
	RolePublisher = "publisher"
	RoleRebuilder = "rebuilder"
	RoleAuditor   = "auditor"
	RoleAdmin     = "admin"
	AllProducts   = "*"
)

// TrustPolicyAccepted answers POST /v1/trust-policy, whose body is the signed
// policy's envelope.
type TrustPolicyAccepted struct {
	SchemaVersion int           `json:"schemaVersion"`
	Version       int64         `json:"version"`
	Envelope      attest.Digest `json:"envelope"` // sha256 of the bytes sent
	Roots         attest.Digest `json:"roots"`    // what agents pin
}

// TUFOffer is the body of POST /v1/tuf: the files of a TUF repository, each as
// it was signed, which is text. Roots are those the server may lack, in order.
type TUFOffer struct {
	Roots    []string          `json:"roots"`
	Targets  string            `json:"targets"`
	Snapshot string            `json:"snapshot"`
	Files    map[string]string `json:"files"` // the targets, by name
}

// TUFAccepted answers POST /v1/tuf, and says what is in effect.
type TUFAccepted struct {
	SchemaVersion int   `json:"schemaVersion"`
	Root          int64 `json:"root"` // versions
	Targets       int64 `json:"targets"`
	Snapshot      int64 `json:"snapshot"`
	Policy        int64 `json:"policy"`
}

// AddProduct is the body of POST /v1/products.
type AddProduct struct {
	Product string `json:"product"` // product id, as the trust policy has it
}

// ProductAdded answers POST /v1/products.
type ProductAdded struct {
	SchemaVersion int    `json:"schemaVersion"`
	Product       string `json:"product"`
	Repository    string `json:"repository"`
}

// AddPrincipal is the body of POST /v1/principals.
type AddPrincipal struct {
	Name string `json:"name"` // a label
	Key  string `json:"key"`  // SPKI DER, standard base64; ECDSA P-256
}

// PrincipalAdded answers POST /v1/principals.
type PrincipalAdded struct {
	SchemaVersion int    `json:"schemaVersion"`
	Principal     string `json:"principal"` // UUID
}

// Grant is the body of POST /v1/grants.
type Grant struct {
	Principal string `json:"principal"`
	Product   string `json:"product"` // product id, or "*" with role admin or auditor
	Role      string `json:"role"`
	Revoke    bool   `json:"revoke"` // take the role away
}

// Done answers requests that have nothing to say but that they took effect.
type Done struct {
	SchemaVersion int   `json:"schemaVersion"`
	Sequence      int64 `json:"sequence"` // of the journal record
}

// NewToken is the body of POST /v1/enrolment-tokens.
type NewToken struct {
	Products []string `json:"products"` // product ids the host will be in
	TTL      int64    `json:"ttl"`      // seconds, 1 to 86,400
}

// TokenMade answers POST /v1/enrolment-tokens. The token is shown this once.
type TokenMade struct {
	SchemaVersion int       `json:"schemaVersion"`
	Token         string    `json:"token"` // text of an [EnrolmentToken]
	ID            string    `json:"id"`    // its public part
	Expires       time.Time `json:"expires"`
}

// Enrol is the body of POST /v1/enrol.
type Enrol struct {
	Token string `json:"token"` // text of an [EnrolmentToken]
	Name  string `json:"name"`  // a label
	Key   string `json:"key"`   // the host's public key: SPKI DER, standard base64
	Proof string `json:"proof"` // see [EnrolmentProof]
}

// Enrolled answers POST /v1/enrol.
type Enrolled struct {
	SchemaVersion int      `json:"schemaVersion"`
	Host          string   `json:"host"` // UUID: the host's principal id
	Products      []string `json:"products"`
}

// Challenge answers POST /v1/hosts/{id}/challenge.
type Challenge struct {
	SchemaVersion int       `json:"schemaVersion"`
	Nonce         string    `json:"nonce"`    // goes into the record; good for one
	Sequence      int64     `json:"sequence"` // the sequence the next record has to have at least
	Expires       time.Time `json:"expires"`
	Time          time.Time `json:"time"` // the server's clock
}

// Recorded answers POST /v1/hosts/{id}/records, whose body is the envelope of
// a host-record/v1.
type Recorded struct {
	SchemaVersion int       `json:"schemaVersion"`
	Sequence      int64     `json:"sequence"` // of the host record
	Received      time.Time `json:"received"`
	Bases         []Base    `json:"bases"` // what its measurements resolve to
}

// SetState is the body of POST /v1/hosts/{id}/state.
type SetState struct {
	State string `json:"state"`
}

// Host answers GET /v1/hosts/{id}.
type Host struct {
	SchemaVersion int      `json:"schemaVersion"`
	Host          string   `json:"host"`
	Name          string   `json:"name"`
	State         string   `json:"state"`
	Cloned        bool     `json:"cloned"` // its key was used by two live boots
	Key           string   `json:"key"`
	Products      []string `json:"products"`
	Record        *Record  `json:"record,omitzero"` // absent: it has said nothing yet
	Bases         []Base   `json:"bases"`           // what the record resolves to, in all its products
}

// A Record is the newest valid record of a host.
type Record struct {
	Sequence int64            `json:"sequence"`
	BootID   string           `json:"bootId"`
	Time     time.Time        `json:"time"`     // the host's clock
	Received time.Time        `json:"received"` // the server's
	Running  []attest.Running `json:"running"`
}

// A Base is a base a host's record resolves to.
type Base struct {
	Product    string        `json:"product"`
	Repository string        `json:"repository"`
	Manifest   attest.Digest `json:"manifest"`
	File       attest.Digest `json:"file"`
}

// Evidence answers GET /v1/evidence?repository=&digest=: every admitted bundle
// about the artifact and, for a patch, about its base, its environment and its
// builder image.
type Evidence struct {
	SchemaVersion int `json:"schemaVersion"`
	// Manifest is the artifact's manifest. It is left out for hosts: they get
	// an artifact's bytes through the gate alone.
	Manifest []byte   `json:"manifest,omitzero"`
	Bundles  [][]byte `json:"bundles"` // Sigstore bundles, as they were signed
}

// Offers answers GET /v1/offers?host=: the patches the host may have now. It
// is no decision: that is made, and recorded, when one is pulled.
type Offers struct {
	SchemaVersion int     `json:"schemaVersion"`
	Host          string  `json:"host"`
	Offers        []Offer `json:"offers"` // sorted by repository, then digest
}

// An Offer is one patch a host may have.
type Offer struct {
	Product    string        `json:"product"`
	Repository string        `json:"repository"`
	Digest     attest.Digest `json:"digest"`
	Tags       []string      `json:"tags"`
	Base       attest.Digest `json:"base"`
	File       attest.Digest `json:"file"`
	Size       int64         `json:"size"` // of the file, in bytes
	Fixes      []string      `json:"fixes"`
}

// Revoked answers POST /v1/revocations, whose body is the bundle of a
// revocation/v1.
type Revoked struct {
	SchemaVersion int           `json:"schemaVersion"`
	Sequence      int64         `json:"sequence"` // of the journal record at which it took effect
	Payload       attest.Digest `json:"payload"`  // sha256 of the statement
}

// Revocations answers GET /v1/revocations?product=.
type Revocations struct {
	SchemaVersion int      `json:"schemaVersion"`
	Product       string   `json:"product"`
	Count         int64    `json:"count"`   // never decreases: an agent that has seen more was rolled back
	Bundles       [][]byte `json:"bundles"` // in the order they took effect
}

// Why answers GET /v1/why?host=&repository=&reference=: every rule and its
// outcome, evaluated now and not recorded.
type Why struct {
	SchemaVersion int           `json:"schemaVersion"`
	Host          string        `json:"host"`
	Product       string        `json:"product"`
	Repository    string        `json:"repository"`
	Reference     string        `json:"reference"`
	Digest        attest.Digest `json:"digest"`
	Allow         bool          `json:"allow"`
	Basis         string        `json:"basis"` // fit basis; "" on deny
	Policy        attest.Digest `json:"policy"`
	Record        int64         `json:"record"` // host record sequence; 0: none
	Epoch         int64         `json:"epoch"`
	Checks        []Check       `json:"checks"`
}

// A Check is one rule's outcome.
type Check struct {
	Rule      string    `json:"rule"`
	Criterion string    `json:"criterion"`
	Passed    bool      `json:"passed"`
	Findings  []Finding `json:"findings"`
	Warnings  []Finding `json:"warnings,omitzero"` // of a site rule that only warns; it passed
}

// A Finding is one way a rule was not met.
type Finding struct {
	Reason   string        `json:"reason"`
	Want     string        `json:"want"`
	Got      string        `json:"got"`
	Evidence attest.Digest `json:"evidence,omitzero"` // payload digest of the statement at fault
	Remedy   string        `json:"remedy"`
}
