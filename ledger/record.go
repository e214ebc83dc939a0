package ledger

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/patchfit/patchfit/attest"
)

// A Record is one acknowledged fact that is not an OCI object, in the order it
// took effect. Time is the server's receipt time, never decreasing: the time
// of effect. docs/spec/journal.md.
type Record struct {
	Sequence int64          `json:"sequence"` // from 1, without gaps
	Time     time.Time      `json:"time"`     // UTC, microseconds
	Kind     Kind           `json:"kind"`
	Salt     []byte         `json:"salt"` // 16 random bytes: hides the body behind its leaf hash
	Body     jsontext.Value `json:"body"` // by Kind; parsed strictly
}

// A Kind says what a record's body is.
type Kind string

// The kinds of records, each with the type of its body. Bodies name bytes in
// the ledger store by digest; the bytes are stored before the record.
const (
	KindTrustPolicy Kind = "trust-policy"    // TrustPolicyAccepted
	KindTUF         Kind = "tuf"             // TUFAccepted
	KindProduct     Kind = "product"         // ProductAdded
	KindPrincipal   Kind = "principal"       // PrincipalAdded
	KindEnded       Kind = "principal-ended" // PrincipalEnded
	KindGrant       Kind = "grant"           // Granted
	KindToken       Kind = "enrolment-token" // TokenMade
	KindEmbargo     Kind = "embargo"         // Embargoed
	KindHost        Kind = "host"            // HostEnrolled
	KindHostRecord  Kind = "host-record"     // HostRecorded
	KindBlob        Kind = "blob"            // BlobPut
	KindBlobRemoved Kind = "blob-removed"    // BlobRemoved
	KindManifest    Kind = "manifest"        // ManifestPut
	KindTag         Kind = "tag"             // TagMoved
	KindDelete      Kind = "delete"          // Deleted
	KindStatement   Kind = "statement"       // StatementAdmitted
	KindChannel     Kind = "channel"         // ChannelTaken
	KindLint        Kind = "lint"            // Linted
	KindDecision    Kind = "decision"        // Decided
	KindUses        Kind = "decision-uses"   // DecisionUses
)

// TrustPolicyAccepted: the server took a trust policy.
type TrustPolicyAccepted struct {
	Version  int64         `json:"version"`
	Envelope attest.Digest `json:"envelope"` // the signed policy, in the store
	By       string        `json:"by"`       // principal id
}

// TUFAccepted: the server took the next state of the TUF repository by which
// trust is handed out. Its bytes are in the store and stay there: readers that
// are on their way find the versions before.
type TUFAccepted struct {
	Version  int64                    `json:"version"` // of the snapshot
	Roots    []attest.Digest          `json:"roots"`   // versions of root that are new, in order
	Targets  attest.Digest            `json:"targets"`
	Snapshot attest.Digest            `json:"snapshot"`
	Files    map[string]attest.Digest `json:"files"` // the targets, by name
	By       string                   `json:"by"`
}

// ProductAdded: the server serves a product the trust policy names.
type ProductAdded struct {
	Product    string `json:"product"`
	Repository string `json:"repository"`
	By         string `json:"by"`
}

// PrincipalAdded: someone who is not a host may prove who they are.
type PrincipalAdded struct {
	Principal string `json:"principal"` // UUID
	Name      string `json:"name"`
	Key       string `json:"key"`      // SPKI DER, standard base64; "" with a bearer token
	TokenMAC  string `json:"tokenMac"` // hex HMAC-SHA256 of a bearer token; "" with a key
	By        string `json:"by"`       // the principal itself, where it was made on the server's own machine

	Expires  time.Time `json:"expires,omitzero"`  // from then on it proves nothing; absent: no end
	ReadOnly bool      `json:"readOnly,omitzero"` // it may ask, whatever its roles, and change nothing
}

// PrincipalEnded: someone who is not a host can do nothing from here on, for good.
type PrincipalEnded struct {
	Principal string `json:"principal"`
	By        string `json:"by"`
}

// Granted gives, or takes, a server role in a product. Product "*" is the
// whole server, for roles admin and auditor only.
type Granted struct {
	Principal string `json:"principal"`
	Product   string `json:"product"`
	Role      string `json:"role"` // "publisher", "rebuilder", "auditor", "admin"
	Revoked   bool   `json:"revoked"`
	By        string `json:"by"`
}

// TokenMade: one host may enrol, once.
type TokenMade struct {
	Token    string    `json:"token"` // its public id
	MAC      string    `json:"mac"`   // hex HMAC-SHA256 of the secret
	Products []string  `json:"products"`
	Expires  time.Time `json:"expires"`
	By       string    `json:"by"`
}

// Embargoed keeps a product, or one patch of it, from every host that is not
// named, or ends that. It stands in the place of the one before.
type Embargoed struct {
	Product string        `json:"product"`
	Patch   attest.Digest `json:"patch,omitzero"` // its manifest, which need not be there yet; absent: the whole product
	Until   time.Time     `json:"until,omitzero"` // the first moment it holds for nobody; absent: until it is lifted
	Hosts   []string      `json:"hosts"`          // ids of those it does not hold for, sorted
	Lifted  bool          `json:"lifted,omitzero"`
	By      string        `json:"by"`
}

// HostEnrolled: a host's key is known from here on.
type HostEnrolled struct {
	Host     string   `json:"host"` // UUID
	Name     string   `json:"name"` // a label, never an identity
	Key      string   `json:"key"`  // SPKI DER, standard base64
	Products []string `json:"products"`
	Token    string   `json:"token"`       // "" when re-enrolled by an admin
	State    string   `json:"state"`       // "active", "suspended", "revoked"
	By       string   `json:"by,omitzero"` // principal id of whoever changed its state; absent: the host itself, with a token
}

// HostRecorded: a host said what it runs.
type HostRecorded struct {
	Host     string        `json:"host"`
	Sequence int64         `json:"sequence"`
	Envelope attest.Digest `json:"envelope"` // DSSE of host-record/v1, in the store
}

// BlobPut: a blob is in a repository: uploaded, or mounted from another one.
// Without its record it is in none. Its bytes are in the registry's content,
// not in the ledger store.
type BlobPut struct {
	Repository string        `json:"repository"`
	Digest     attest.Digest `json:"digest"`
	SHA512     string        `json:"sha512,omitzero"` // "sha512:" and 128 hex digits, where it was pushed under that
	Size       int64         `json:"size"`            // bytes
	By         string        `json:"by"`
}

// BlobRemoved: a blob is in a repository no more. Its bytes go when it is in
// none.
type BlobRemoved struct {
	Repository string        `json:"repository"`
	Digest     attest.Digest `json:"digest"`
	By         string        `json:"by"` // principal id; "gc" for the server's own collection
}

// ManifestPut: a manifest is in the registry. Without its record it is invisible.
type ManifestPut struct {
	Repository string        `json:"repository"`
	Digest     attest.Digest `json:"digest"`          // its bytes are in the store
	SHA512     string        `json:"sha512,omitzero"` // where it was put under that, as in BlobPut
	MediaType  string        `json:"mediaType"`
	By         string        `json:"by"`
}

// TagMoved: a tag names a manifest from here on.
type TagMoved struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Digest     attest.Digest `json:"digest"`
	SHA512     string        `json:"sha512,omitzero"` // what the tag answers with, where it came with a manifest put under that
	By         string        `json:"by"`
}

// Deleted hides a manifest (Digest) or a tag (Tag) of the registry. It removes
// no evidence.
type Deleted struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag,omitzero"`
	Digest     attest.Digest `json:"digest,omitzero"`
	By         string        `json:"by"` // principal id; "retention" for the server's own rules
}

// StatementAdmitted: admission verified a bundle; it takes effect here.
type StatementAdmitted struct {
	Repository string        `json:"repository"`
	Subject    attest.Digest `json:"subject"`
	Referrer   attest.Digest `json:"referrer,omitzero"` // manifest that carries the bundle; absent for revocations sent to the API
	Bundle     attest.Digest `json:"bundle"`            // in the store
	Type       string        `json:"type"`              // predicate type
	By         string        `json:"by"`
}

// ChannelTaken: a channel of a product has a new version from here on. Its
// bundle is evidence as an admitted statement's is, and no OCI object carries it.
type ChannelTaken struct {
	Product string        `json:"product"`
	Name    string        `json:"name"`
	Version int64         `json:"version"`
	Bundle  attest.Digest `json:"bundle"` // in the store
	By      string        `json:"by"`
}

// Linted: the server looked into a live patch, and its base, as it came in. It
// is the server's own computation, by a linter of that version.
type Linted struct {
	Repository string        `json:"repository"`
	Digest     attest.Digest `json:"digest"` // manifest of the patch, whose own record comes after
	Report     attest.Digest `json:"report"` // in the store
	Linter     string        `json:"linter"` // version of the rules
	By         string        `json:"by"`     // principal who put the patch
}

// Decided: the gate answered a host for the first time under these inputs.
type Decided struct {
	Decision   string          `json:"decision"` // "d-" and 26 characters
	Host       string          `json:"host"`
	Repository string          `json:"repository"`
	Artifact   attest.Digest   `json:"artifact"`
	Allow      bool            `json:"allow"`
	Basis      string          `json:"basis"` // fit basis used; "" on deny
	Reasons    []Finding       `json:"reasons"`
	Warnings   []Finding       `json:"warnings,omitzero"` // of an allow: what site rules found that only warn
	Record     int64           `json:"record"`            // host record sequence; 0: none
	Policy     attest.Digest   `json:"policy"`            // trust policy envelope
	Site       attest.Digest   `json:"site"`              // site policy file
	Epoch      int64           `json:"epoch"`             // evidence epoch of (product, patch, base)
	Evidence   []attest.Digest `json:"evidence"`          // payload digests the answer stands on
}

// A Finding is one reason, as recorded.
type Finding struct {
	Reason   string        `json:"reason"`
	Rule     string        `json:"rule"`
	Want     string        `json:"want"`
	Got      string        `json:"got"`
	Evidence attest.Digest `json:"evidence,omitzero"`
	Remedy   string        `json:"remedy"`
}

// DecisionUses counts later uses of a decision since its last record.
type DecisionUses struct {
	Decision string `json:"decision"`
	Uses     int64  `json:"uses"`
}
