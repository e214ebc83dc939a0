package admit

import (
	"cmp"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// isBundle reports whether any part of a manifest says that it carries a
// Sigstore bundle, of whatever version: then it has to.
func isBundle(m *state.Manifest) bool {
	if strings.HasPrefix(m.Type, sigstore) || strings.HasPrefix(m.ConfigMediaType, sigstore) {
		return true
	}
	for _, l := range m.Layers {
		if strings.HasPrefix(l.MediaType, sigstore) {
			return true
		}
	}
	return false
}

// bundle admits a referrer as cosign v3 writes it: the empty config, exactly
// one layer, the bundle, and for a subject what the statement is about.
func (a *Admitter) bundle(product string, m *state.Manifest, p Put) (*Bundle, error) {
	if err := bundleShape(m); err != nil {
		return nil, err
	}
	subject, ok := a.state.Manifest(p.Repository, m.Subject)
	if !ok {
		return nil, refuse(verify.SubjectMismatch, "/subject: %s is not in this repository; push what the bundle is about first", orNone(m.Subject))
	}
	raw, err := p.read("/layers/0", m.Layers[0], attest.MaxBundle)
	if err != nil {
		return nil, err
	}
	v := a.state.Verifier()
	if v == nil {
		return nil, refuse(verify.UntrustedSigner, "this server has no trust policy yet")
	}
	ev, err := v.Bundle(raw, verify.Artifact{Manifest: subject.Artifact.Manifest, File: subject.File})
	if err != nil {
		return nil, err
	}
	s := said{admitter: a, product: product, subject: subject, evidence: ev, trust: a.state.Trust()}
	counts, err := s.admit()
	if err != nil {
		return nil, err
	}
	return &Bundle{Raw: raw, Evidence: ev, Counts: counts}, nil
}

func bundleShape(m *state.Manifest) error {
	if err := isManifest(m); err != nil {
		return err
	}
	if m.Type != attest.ArtifactBundle {
		return corrupt("/artifactType: %.80q, want %s", m.Type, attest.ArtifactBundle)
	}
	if n := len(m.Layers); n != 1 {
		return corrupt("/layers: %d, want exactly 1: the bundle", n)
	}
	if got := m.Layers[0].MediaType; got != attest.ArtifactBundle {
		return corrupt("/layers/0/mediaType: %.80q, want %s", got, attest.ArtifactBundle)
	}
	return hasEmptyConfig(m)
}

// said is a verified statement about a manifest of a product.
type said struct {
	admitter *Admitter
	product  string
	subject  *state.Manifest
	evidence *verify.Evidence
	trust    *policy.Trust
}

// admit checks who said it, of which product, and whether it can be so. It
// returns whether the statement counts.
func (s said) admit() (bool, error) {
	if !known(s.evidence.Type()) {
		return false, s.keep()
	}
	if s.evidence.Type() == attest.TypeRevocation {
		return false, refuse(verify.SubjectMismatch, "a revocation is not attached to an artifact; send it with patchfit revoke")
	}
	if s.evidence.Type() == attest.TypeChannel {
		return false, refuse(verify.SubjectMismatch, "a channel is not attached to an artifact; send it with patchfit channel publish")
	}
	role, fits := policy.RoleFor(s.evidence.Type(), s.subject.Type)
	if !fits {
		return false, refuse(verify.SubjectMismatch, "a statement of type %s says nothing about an artifact of type %.80q", s.evidence.Type(), s.subject.Type)
	}
	if !s.trust.Trusted(s.product, role, s.evidence) {
		return false, refuse(verify.UntrustedSigner, "key %s did not have role %s in product %s at %s",
			s.evidence.Signer(), role, s.product, s.evidence.Time().Format(time.RFC3339))
	}
	if err := s.ofThisProduct(); err != nil {
		return false, err
	}
	if err := s.notRevoked(); err != nil {
		return false, err
	}
	return true, s.fits()
}

// keep lets a signer of the product say what this version does not know.
func (s said) keep() error {
	if s.trust.Signs(s.product, s.evidence) {
		return s.notRevoked()
	}
	return refuse(verify.UntrustedSigner, "key %s had no role in product %s at %s",
		s.evidence.Signer(), s.product, s.evidence.Time().Format(time.RFC3339))
}

func known(predicateType string) bool {
	switch predicateType {
	case attest.TypeEnvironment, attest.TypeBase, attest.TypeLivePatch, attest.TypeProvenance, attest.TypeRevocation, attest.TypeChannel, attest.TypeHostRecord, attest.TypeImport, attest.TypeEquivalence, attest.TypeRebuild, attest.TypeAdjudication:
		return true
	}
	return false
}

func (s said) ofThisProduct() error {
	if s.evidence.Type() == attest.TypeEnvironment {
		return nil // it names none
	}
	if got := policy.ProductOf(s.evidence); got != s.product {
		return refuse(verify.SubjectMismatch, "statement names product %.80q, want %s, the product of this repository", got, s.product)
	}
	return nil
}

// notRevoked refuses what was revoked before it was said. What was said before
// is history, and comes in revoked: a server that gets it late, as a mirror
// does, denies with the revocation's words, and not because it knows nothing.
func (s said) notRevoked() error {
	var all []*verify.Evidence
	for _, r := range s.admitter.state.Revocations(s.subject.Repository) {
		if !before(s.evidence, r.Evidence) {
			all = append(all, r.Evidence)
		}
	}
	by := policy.NewRevocations(s.trust, all)
	if r := by.Key(s.product, s.evidence); r != nil {
		return revokedBy(r)
	}
	for _, named := range s.names() {
		if r := by.By(s.product, named.kind, named.digest); r != nil {
			return revokedBy(r)
		}
	}
	return nil
}

func revokedBy(r *verify.Evidence) error {
	p := verify.As[attest.Revocation](r)
	return refuse(verify.Revoked, "%s %s is revoked: %s", p.Kind, p.Digest, p.Reason)
}

// before reports whether a was said before b, by their proven times; within one
// second, by their places in the log.
func before(a, b *verify.Evidence) bool {
	return cmp.Or(a.Time().Compare(b.Time()), cmp.Compare(a.LogIndex(), b.LogIndex())) < 0
}

type naming struct {
	kind   string
	digest attest.Digest
}

// names lists what a revocation of this statement could name.
func (s said) names() []naming {
	all := []naming{
		{attest.RevokePayload, s.evidence.Payload()},
		{attest.RevokeSubject, s.evidence.Subject()},
	}
	environment := func(d attest.Digest) { all = append(all, naming{attest.RevokeEnvironment, d}) }
	builder := func(d attest.Digest) { all = append(all, naming{attest.RevokeBuilder, d}) }
	if e := verify.As[attest.Environment](s.evidence); e != nil {
		environment(s.evidence.File())
		builder(e.BuilderImage)
	}
	if b := verify.As[attest.Base](s.evidence); b != nil {
		environment(b.Environment)
	}
	if p := verify.As[attest.LivePatch](s.evidence); p != nil {
		environment(p.Environment)
	}
	if q := verify.As[attest.Equivalence](s.evidence); q != nil {
		environment(q.Environment)
		environment(q.BaseEnvironment)
	}
	if r := verify.As[attest.Rebuild](s.evidence); r != nil {
		environment(r.Environment)
	}
	if p := verify.As[attest.Provenance](s.evidence); p != nil {
		builder(s.evidence.Subject())
		if d, ok := p.Dependency(attest.DependencyEnvironment); ok {
			environment(d)
		}
		if d, ok := p.Dependency(attest.DependencyBuilder); ok {
			builder(d)
		}
	}
	return all
}
