package policy

import (
	"math"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// Trust is a trust policy in the form decisions ask it: which key may make
// which statement about which product, when. Nil trusts nobody.
type Trust struct {
	id           *identity
	envelope     attest.Digest
	version      int64
	expires      time.Time
	products     map[string]*product
	repositories map[string]*product
}

type product struct {
	attest.Product
	keys map[attest.Digest]grants     // by key id, or by identity
	who  map[attest.Digest]*principal // the same
}

// grants are the times in which one key has each role.
type grants map[attest.Role][]window

// A window is the time [from, until) in which a key counts, in microseconds of
// Unix time, which compare faster than times.
type window struct{ from, until int64 }

func newWindow(from, until time.Time) window {
	w := window{from.UnixMicro(), math.MaxInt64}
	if !until.IsZero() {
		w.until = until.UnixMicro()
	}
	return w
}

// NewTrust prepares p, which its parser found consistent, for decisions.
// envelope is the digest of the signed policy, by which decisions name it. A
// key that does not parse is trusted with nothing.
func NewTrust(p *attest.TrustPolicy, envelope attest.Digest) *Trust {
	t := &Trust{
		id: new(identity), envelope: envelope, version: p.Version, expires: p.Expires,
		products: make(map[string]*product), repositories: make(map[string]*product),
	}
	signers := make(map[string]attest.Signer)
	for _, s := range p.Signers {
		signers[s.Name] = s
	}
	for _, known := range p.Products {
		pr := &product{Product: known, keys: make(map[attest.Digest]grants), who: make(map[attest.Digest]*principal)}
		for role, names := range known.Authorities {
			for _, name := range names {
				pr.grant(role, signers[name])
				pr.introduce(role, signers[name])
			}
		}
		t.products[known.ID] = pr
		t.repositories[known.Repository] = pr
	}
	return t
}

func (p *product) grant(role attest.Role, s attest.Signer) {
	for _, k := range s.Keys {
		key, err := attest.ParsePublicKey(k.Key)
		if err != nil {
			continue
		}
		p.voice(key.ID(), role, newWindow(k.ValidFrom, k.ValidUntil))
	}
	for _, i := range s.Identities {
		if id, err := i.ID(); err == nil {
			p.voice(id, role, newWindow(i.ValidFrom, i.ValidUntil))
		}
	}
}

// voice grants a key or an identity a role in a window; a role there is not is
// granted to nobody.
func (p *product) voice(id attest.Digest, role attest.Role, w window) {
	if !slices.Contains(attest.Roles(), role) {
		return
	}
	g := p.keys[id]
	if g == nil {
		g = make(grants)
		p.keys[id] = g
	}
	g[role] = append(g[role], w)
}

// Envelope returns the digest of the signed policy.
func (t *Trust) Envelope() attest.Digest {
	if t == nil {
		return ""
	}
	return t.envelope
}

// Version returns the policy's version; 0 for nil.
func (t *Trust) Version() int64 {
	if t == nil {
		return 0
	}
	return t.version
}

// Product returns the product with this id.
func (t *Trust) Product(id string) (*attest.Product, bool) {
	if p := t.product(id); p != nil {
		return &p.Product, true
	}
	return nil, false
}

// ProductFor returns the product that lives in this repository.
func (t *Trust) ProductFor(repository string) (*attest.Product, bool) {
	if t == nil || t.repositories[repository] == nil {
		return nil, false
	}
	return &t.repositories[repository].Product, true
}

// Trusted reports whether e is proven and its signer had role in the product
// at the time of its timestamp.
func (t *Trust) Trusted(product string, role attest.Role, e *verify.Evidence) bool {
	return t.product(product).trusted(role, e)
}

// Signs reports whether e is proven and its signer had any role in the product
// at the time of its timestamp: what such a signer says in a predicate type
// this version does not know is kept, though it is never evidence.
func (t *Trust) Signs(product string, e *verify.Evidence) bool {
	p := t.product(product)
	if p == nil || !e.Proven() {
		return false
	}
	for _, windows := range p.keys[e.Signer()] {
		if anyHolds(windows, e.Time()) {
			return true
		}
	}
	return false
}

func (t *Trust) identity() *identity {
	if t == nil {
		return nil
	}
	return t.id
}

func (t *Trust) product(id string) *product {
	if t == nil {
		return nil
	}
	return t.products[id]
}

func (p *product) trusted(role attest.Role, e *verify.Evidence) bool {
	if p == nil || !e.Proven() {
		return false
	}
	return p.keys[e.Signer()].hold(role, e.Time())
}

// hold reports whether the key has role at t.
func (g grants) hold(role attest.Role, t time.Time) bool { return anyHolds(g[role], t) }

func anyHolds(windows []window, at time.Time) bool {
	t := at.UnixMicro()
	for i := range windows {
		if w := &windows[i]; w.from <= t && t < w.until {
			return true
		}
	}
	return false
}

// RoleFor returns the role whose signers may make a statement of this
// predicate type about an artifact of this artifactType; false for types that
// are never evidence there.
func RoleFor(predicateType, artifactType string) (attest.Role, bool) {
	switch predicateType {
	case attest.TypeEnvironment:
		return attest.RoleBase, artifactType == attest.ArtifactEnv
	case attest.TypeBase:
		return attest.RoleBase, artifactType == attest.ArtifactBase
	case attest.TypeLivePatch:
		return attest.RolePatch, artifactType == attest.ArtifactPatch
	case attest.TypeImport:
		return attest.RoleImport, artifactType == attest.ArtifactBase || artifactType == attest.ArtifactPatch
	case attest.TypeEquivalence:
		return attest.RoleBase, artifactType == attest.ArtifactBase
	case attest.TypeRevocation:
		return attest.RoleRevocation, true
	case attest.TypeProvenance:
		return provenanceRole(artifactType)
	case attest.TypeRebuild:
		return attest.RoleRebuilder, isRebuilt(artifactType)
	case attest.TypeAdjudication:
		return attest.RoleAdjudicator, isRebuilt(artifactType)
	}
	return "", false
}

func provenanceRole(artifactType string) (attest.Role, bool) {
	switch artifactType {
	case attest.ArtifactPatch:
		return attest.RolePatch, true
	case attest.ArtifactBase:
		return attest.RoleBase, true
	case attest.ArtifactEnv, attest.ArtifactRebuild, attest.ArtifactInputs, attest.ArtifactSource, attest.ArtifactBundle:
		return "", false
	}
	return attest.RoleBuilder, true // an image
}

// ProductOf returns the product id the statement's predicate names; "" where
// its type names none.
func ProductOf(e *verify.Evidence) string {
	if p := verify.As[attest.Provenance](e); p != nil {
		return p.BuildDefinition.ExternalParameters.Product
	}
	if b := verify.As[attest.Base](e); b != nil {
		return b.Product
	}
	if p := verify.As[attest.LivePatch](e); p != nil {
		return p.Product
	}
	if r := verify.As[attest.Revocation](e); r != nil {
		return r.Product
	}
	if c := verify.As[attest.Channel](e); c != nil {
		return c.Product
	}
	if i := verify.As[attest.Import](e); i != nil {
		return i.Product
	}
	if q := verify.As[attest.Equivalence](e); q != nil {
		return q.Product
	}
	return rebuildProduct(e)
}
