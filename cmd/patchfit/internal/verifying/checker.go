package verifying

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// A Checker verifies bundles about one subject by one trust policy.
type Checker struct {
	verifier *verify.Verifier
	trust    *policy.Trust
	version  int64
	product  string
	subject  *subject
	names    map[attest.Digest]string // of signers, by key or identity
}

// NewChecker returns a checker for what is said in a product, about nothing yet.
func NewChecker(p *attest.TrustPolicy, product string) (*Checker, error) {
	verifier, err := verify.New(p)
	if err != nil {
		return nil, err
	}
	c := &Checker{verifier: verifier, trust: policy.NewTrust(p, ""), version: p.Version, product: product, names: map[attest.Digest]string{}}
	for _, s := range p.Signers {
		for _, k := range s.Keys {
			if key, err := attest.ParsePublicKey(k.Key); err == nil {
				c.names[key.ID()] = s.Name
			}
		}
		for _, i := range s.Identities {
			if id, err := i.ID(); err == nil {
				c.names[id] = s.Name
			}
		}
	}
	return c, nil
}

// About returns a checker for what is said about an artifact of a type; "" where
// the type is not known.
func (c *Checker) About(a verify.Artifact, typ string) *Checker {
	return c.about(&subject{artifact: a, typ: typ})
}

func (c *Checker) about(s *subject) *Checker {
	other := *c
	other.subject = s
	return &other
}

func (c *Checker) all(bundles []named) *Answer {
	answer := &Answer{
		SchemaVersion: 1, Subject: c.subject.name, Manifest: c.subject.artifact.Manifest, File: c.subject.artifact.File,
		Product: c.product, PolicyVersion: c.version, Criteria: criteria(), Statements: []Result{},
		Verified: len(bundles) > 0,
	}
	for _, b := range bundles {
		r := c.One(b.name, b.raw)
		answer.Statements = append(answer.Statements, r)
		answer.Verified = answer.Verified && r.Verified
	}
	return answer
}

// One verifies one bundle; name is where it is from.
func (c *Checker) One(name string, raw []byte) Result {
	r := Result{Bundle: name, LogIndex: -1}
	e, err := c.evidence(raw)
	var refusal *verify.Refusal
	switch {
	case errors.As(err, &refusal):
		r.Reason, r.Fact, r.Remedy = string(refusal.Reason), refusal.Fact, refusal.Remedy
		return r
	case err != nil:
		r.Reason, r.Fact = string(verify.Corrupt), err.Error()
		return r
	}
	r.Verified, r.Type, r.Key, r.Signer = true, e.Type(), e.Signer(), c.names[e.Signer()]
	r.Signed, r.LogIndex, r.Payload = e.Time(), e.LogIndex(), e.Payload()
	return r
}

// evidence verifies a bundle, and that its signer has the role for what it
// says in this product.
func (c *Checker) evidence(raw []byte) (*verify.Evidence, error) {
	want, err := c.want(raw)
	if err != nil {
		return nil, err
	}
	e, err := c.verifier.Bundle(raw, want)
	if err != nil {
		return nil, err
	}
	if err := c.entitled(e); err != nil {
		return nil, err
	}
	return e, nil
}

// want completes what is known of the subject with what the statement says of
// the rest: a file is in some manifest, and a manifest alone does not tell its
// file.
func (c *Checker) want(raw []byte) (verify.Artifact, error) {
	want := c.subject.artifact
	b, err := attest.ParseBundle(raw)
	if err != nil {
		return want, nil // the verifier says what is wrong with it
	}
	subjects := b.Statement.Subjects
	if want.Manifest != "" {
		if want.File == "" && len(subjects) == 2 && c.subject.typ == "" {
			want.File = subjects[1].Digest
		}
		return want, nil
	}
	if len(subjects) != 2 || subjects[1].Digest != want.File {
		return want, &verify.Refusal{
			Reason: verify.SubjectMismatch, Remedy: verify.SubjectMismatch.Remedy(),
			Fact: fmt.Sprintf("statement is about %s, want the file %s", subjects[len(subjects)-1].Digest, want.File),
		}
	}
	want.Manifest = subjects[0].Digest
	return want, nil
}

func (c *Checker) entitled(e *verify.Evidence) error {
	for _, typ := range c.artifactTypes(e.Type()) {
		if role, ok := policy.RoleFor(e.Type(), typ); ok && c.trust.Trusted(c.product, role, e) {
			return c.ofProduct(e)
		}
	}
	return &verify.Refusal{
		Reason: verify.UntrustedSigner, Remedy: verify.UntrustedSigner.Remedy(),
		Fact: fmt.Sprintf("signer %s (key %s) has no role for a %s statement about this in product %s", cmp.Or(c.names[e.Signer()], "unknown"), e.Signer().Short(), shell.TypeName(e.Type()), c.product),
	}
}

// artifactTypes returns the types the subject can be of, so that the role for
// a statement about it can be told.
func (c *Checker) artifactTypes(predicate string) []string {
	if c.subject.typ != "" {
		return []string{c.subject.typ}
	}
	switch predicate {
	case attest.TypeEnvironment:
		return []string{attest.ArtifactEnv}
	case attest.TypeBase:
		return []string{attest.ArtifactBase}
	case attest.TypeLivePatch:
		return []string{attest.ArtifactPatch}
	}
	if c.subject.artifact.File != "" {
		return []string{attest.ArtifactBase, attest.ArtifactPatch}
	}
	return []string{attest.ArtifactBase, attest.ArtifactPatch, ""}
}

func (c *Checker) ofProduct(e *verify.Evidence) error {
	if got := policy.ProductOf(e); got != "" && got != c.product {
		return &verify.Refusal{
			Reason: verify.SubjectMismatch, Remedy: verify.SubjectMismatch.Remedy(),
			Fact: fmt.Sprintf("statement names product %s, want %s", got, c.product),
		}
	}
	return nil
}
