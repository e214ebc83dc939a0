package attest

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// A TrustPolicy says who may say what. It is made and signed with keys that
// never touch the server; agents pin its roots, servers can only be stricter.
// A new version is signed by a threshold of the roots of the version before it
// and of its own. docs/spec/trust-policy.md.
type TrustPolicy struct {
	Version  int64     `json:"version"` // from 1, strictly increasing
	Expires  time.Time `json:"expires"`
	Roots    Roots     `json:"roots"`
	Signers  []Signer  `json:"signers"`
	Products []Product `json:"products"`
	// TrustedRoot is a Sigstore trusted_root.json (v0.1): the logs and
	// timestamp authorities whose word counts.
	TrustedRoot jsontext.Value `json:"trustedRoot"`
	// LogPolicy is a C2SP tlog-policy, the witnesses that have to have cosigned
	// the checkpoint evidence is proven against; "" asks for none. It is read by
	// whoever reads checkpoints (ledger/quorum).
	LogPolicy string `json:"logPolicy,omitzero"`
	// Journals are the keys that servers seal their journals with, in the logs:
	// SPKI DER, standard base64. They may say nothing else; who watches a log
	// knows their entries by them. nil: nobody named any.
	Journals []string `json:"journals,omitzero"`
	// TUF is the root of the TUF repository that this policy and the ones after
	// it come by; absent: whoever pins the roots asks the server alone.
	TUF TUFRoot `json:"tuf,omitzero"`
}

// A TUFRoot names one version of a TUF root by the digest of its file.
// docs/spec/tuf.md.
type TUFRoot struct {
	Version int64  `json:"version"`
	Root    Digest `json:"root"`
}

// Roots are the keys that sign trust policies. Their canonical JSON's sha256
// is what an agent pins (RootsDigest).
type Roots struct {
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"` // SPKI DER, standard base64; no duplicates
}

// A Signer is one named principal: its keys, and its names in certificates,
// each with its window. It has at least one of either.
type Signer struct {
	Name       string           `json:"name"`
	Keys       []SignerKey      `json:"keys"`
	Identities []SignerIdentity `json:"identities,omitzero"`
	// Independence tells it from others, where rebuilds are counted.
	Independence Independence `json:"independence,omitzero"`
}

// A SignerKey counts for statements whose timestamp lies in [ValidFrom, ValidUntil).
type SignerKey struct {
	Key        string    `json:"key"` // SPKI DER, standard base64
	ValidFrom  time.Time `json:"validFrom"`
	ValidUntil time.Time `json:"validUntil,omitzero"` // zero: no end set
}

// A SignerIdentity is a name in certificates of one authority. It counts for
// statements whose timestamp lies in [ValidFrom, ValidUntil) and in the validity
// of every certificate of the chain.
type SignerIdentity struct {
	SAN    string `json:"san"`             // a URI or an email address, exactly
	Issuer string `json:"issuer,omitzero"` // of the token the authority saw, exactly; "": the certificate names none
	// CA is the sha256 of the root certificate's DER, of an authority in
	// TrustedRoot.
	CA         Digest    `json:"ca"`
	ValidFrom  time.Time `json:"validFrom"`
	ValidUntil time.Time `json:"validUntil,omitzero"` // zero: no end set
}

// A Role is a kind of statement a signer may make about a product.
type Role string

// The roles of signers in a product.
const (
	RoleImport      Role = "import"      // import/v1
	RoleBuilder     Role = "builder"     // provenance of builder images
	RoleBase        Role = "base"        // the base authority: environment/v1, base/v1 and provenance of bases
	RolePatch       Role = "patch"       // livepatch/v1 and provenance of patches
	RoleRevocation  Role = "revocation"  // revocation/v1
	RoleChannel     Role = "channel"     // channel/v1
	RoleRebuilder   Role = "rebuilder"   // rebuild/v1
	RoleAdjudicator Role = "adjudicator" // adjudication/v1
)

// Roles returns all of them.
func Roles() []Role {
	return []Role{RoleBuilder, RoleBase, RolePatch, RoleRevocation, RoleChannel, RoleImport, RoleRebuilder, RoleAdjudicator}
}

// A Product is one line of bases and patches, the unit of trust, in one OCI repository.
type Product struct {
	ID          string            `json:"id"` // UUID
	Repository  string            `json:"repository"`
	Authorities map[Role][]string `json:"authorities"` // names of signers, per role
	FitBases    []string          `json:"fitBases"`    // accepted, each once
	// Channels is "required" where a patch counts only while a channel of the
	// product offers it; "": channels are for whoever asks for one.
	Channels string `json:"channels,omitzero"`
	// Rebuilds are what has to be reproduced; none: nothing.
	Rebuilds Rebuilds `json:"rebuilds,omitzero"`
}

// ChannelsRequired is what a product says that hands out nothing but what its
// channels offer.
const ChannelsRequired = "required"

// The bases of fit: why a patch counts as fitting a base.
const (
	FitEnvironment = "environment" // both provenances name the same environment digest
	FitEquivalent  = "equivalent"  // the base authority vouches for each difference
	FitVendor      = "vendor"      // one vendor made both, and an importer verified that
)

// ParseTrustPolicy reads the payload of a trust policy of at most
// [MaxTrustPolicy] bytes and checks that it is consistent. It says nothing of
// signatures: see [OpenTrustPolicy].
func ParseTrustPolicy(b []byte) (*TrustPolicy, error) {
	p, err := decodeTrustPolicy(b)
	if err != nil {
		return nil, err
	}
	return sound(p, p.check(""))
}

// decodeTrustPolicy reads a policy as far as its signatures need.
func decodeTrustPolicy(b []byte) (*TrustPolicy, error) {
	p := new(TrustPolicy)
	if err := strictjson.Unmarshal(b, MaxTrustPolicy, p); err != nil {
		return nil, err
	}
	return sound(p, p.Roots.check("/roots"))
}

// JournalKeys returns the ids of the keys that servers seal their journals with;
// nil: the policy names none.
func (p *TrustPolicy) JournalKeys() ([]Digest, error) {
	var ids []Digest
	for _, b64 := range p.Journals {
		k, err := ParsePublicKey(b64)
		if err != nil {
			return nil, err
		}
		ids = append(ids, k.ID())
	}
	return ids, nil
}

// Digest returns the sha256 of r's canonical JSON, what an agent pins.
func (r Roots) Digest() (Digest, error) {
	b, err := strictjson.Canonical(r)
	if err != nil {
		return "", err
	}
	return DigestOf(b), nil
}

// OpenTrustPolicy reads a signed trust policy whose roots have the digest
// pinned and that at least a threshold of those roots signed. Whether it has
// expired is for whoever knows the time.
func OpenTrustPolicy(envelope []byte, pinned Digest) (*TrustPolicy, error) {
	p, e, err := openTrustPolicy(envelope)
	if err != nil {
		return nil, err
	}
	d, err := p.Roots.Digest()
	if err != nil {
		return nil, err
	}
	if d != pinned {
		return nil, fmt.Errorf("trust policy has the roots %s, pinned are %s", d, pinned)
	}
	if err := p.Roots.verify(e); err != nil {
		return nil, err
	}
	return sound(p, strictjson.Under("/payload", p.check("")))
}

// OpenNext reads the trust policy that comes after p: signed by a threshold of
// p's roots and of its own, with a higher version.
func (p *TrustPolicy) OpenNext(envelope []byte) (*TrustPolicy, error) {
	next, e, err := openTrustPolicy(envelope)
	if err != nil {
		return nil, err
	}
	if err := p.Roots.verify(e); err != nil {
		return nil, fmt.Errorf("roots of version %d: %w", p.Version, err)
	}
	if err := next.Roots.verify(e); err != nil {
		return nil, fmt.Errorf("its own roots: %w", err)
	}
	if next.Version <= p.Version {
		return nil, fmt.Errorf("trust policy has version %d, which is not above %d", next.Version, p.Version)
	}
	return sound(next, strictjson.Under("/payload", next.check("")))
}

// openTrustPolicy reads an envelope and its policy; nothing in them is verified.
func openTrustPolicy(envelope []byte) (*TrustPolicy, *Envelope, error) {
	e, err := ParseEnvelope(envelope, PolicyPayload)
	if err != nil {
		return nil, nil, err
	}
	p, err := decodeTrustPolicy(e.Payload)
	return p, e, strictjson.Under("/payload", err)
}

// verify counts the distinct roots that signed e.
func (r Roots) verify(e *Envelope) error {
	if r.Threshold < 1 {
		return errors.New("no threshold of root signatures is set")
	}
	signed := make(map[Digest]bool)
	for _, b64 := range r.Keys {
		k, err := ParsePublicKey(b64)
		if err != nil {
			return err
		}
		if e.Verify(k) == nil {
			signed[k.ID()] = true
		}
	}
	if len(signed) < r.Threshold {
		return fmt.Errorf("trust policy is signed by %d of its root keys, %d are needed", len(signed), r.Threshold)
	}
	return nil
}
