package mirror

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// An assessor tells what bundles come to by one trust policy.
type assessor struct {
	verifier *verify.Verifier
	trust    *policy.Trust
	keys     map[attest.Digest]*attest.PublicKey
}

func newAssessor(p *attest.TrustPolicy) (*assessor, error) {
	v, err := verify.New(p)
	if err != nil {
		return nil, err
	}
	a := &assessor{v, policy.NewTrust(p, ""), map[attest.Digest]*attest.PublicKey{}}
	for _, s := range p.Signers {
		for _, k := range s.Keys {
			if key, err := attest.ParsePublicKey(k.Key); err == nil {
				a.keys[key.ID()] = key
			}
		}
	}
	return a, nil
}

// A finding is what one bundle comes to.
type finding struct {
	bundle     attest.Digest
	repository string
	revocation bool
	channel    bool
	evidence   *verify.Evidence // nil: it is none
	refusal    *verify.Refusal  // why it is none
	logID      []byte           // of evidence
	leaf       []byte           // of evidence, rebuilt from what was signed
}

// void reports whether the bundle is none only because its signer is not, or
// no longer, trusted with it: that happens to honest mirrors.
func (f *finding) void() bool {
	return f.refusal != nil && (f.refusal.Reason == verify.UntrustedSigner || f.refusal.Reason == verify.Expired)
}

// all assesses every bundle of a mirror: those that manifests carry, those
// that none does, revocations and channels.
func (a *assessor) all(l *Layout) ([]*finding, error) {
	var found []*finding
	for i := range l.Record.Repositories {
		repo := &l.Record.Repositories[i]
		some, err := a.repository(l, repo)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

func (a *assessor) repository(l *Layout, repo *Repository) ([]*finding, error) {
	var found []*finding
	manifests, err := l.manifests(repo)
	if err != nil {
		return nil, err
	}
	about := func(d Descriptor, subject attest.Digest) error {
		raw, err := l.read(d, attest.MaxBundle)
		if err != nil {
			return err
		}
		found = append(found, a.statement(repo, manifests[subject], raw))
		return nil
	}
	for _, d := range repo.Manifests {
		if m := manifests[d.Digest]; m.isBundle() {
			if err := about(m.Layers[0].Descriptor, m.Subject.Digest); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range repo.Detached {
		if err := about(d.Bundle, d.Subject); err != nil {
			return nil, err
		}
	}
	for _, d := range repo.Revocations {
		raw, err := l.read(d, attest.MaxBundle)
		if err != nil {
			return nil, err
		}
		found = append(found, a.revocation(repo, raw))
	}
	for _, d := range repo.Channels {
		raw, err := l.read(d, attest.MaxBundle)
		if err != nil {
			return nil, err
		}
		found = append(found, a.channel(repo, raw))
	}
	return found, nil
}

// manifests reads every manifest of a repository.
func (l *Layout) manifests(repo *Repository) (map[attest.Digest]*manifest, error) {
	all := make(map[attest.Digest]*manifest, len(repo.Manifests))
	for _, d := range repo.Manifests {
		m, err := l.manifest(d)
		if err != nil {
			return nil, err
		}
		if m.descriptor != d {
			return nil, problem(Corrupt, "manifest %s is of type %.80q, the mirror's record says %.80q", d.Digest, m.ArtifactType, d.ArtifactType)
		}
		all[d.Digest] = m
	}
	return all, nil
}

func (a *assessor) statement(repo *Repository, subject *manifest, raw []byte) *finding {
	f := &finding{bundle: attest.DigestOf(raw), repository: repo.Repository}
	if subject == nil {
		f.refusal = refuse(verify.SubjectMismatch, "what it is attached to is not in the mirror")
		return f
	}
	e, err := a.verifier.Bundle(raw, subject.artifact())
	if err == nil {
		err = a.entitled(repo.Product, subject, e)
	}
	return a.settle(f, raw, e, err)
}

func (a *assessor) revocation(repo *Repository, raw []byte) *finding {
	f := &finding{bundle: attest.DigestOf(raw), repository: repo.Repository, revocation: true}
	e, err := a.verifier.Revocation(raw)
	if err == nil {
		err = a.revokes(repo.Product, e)
	}
	return a.settle(f, raw, e, err)
}

// channel tells whether a bundle is a channel of the product, by a signer with
// the role. Whether it has expired is for whoever goes by it.
func (a *assessor) channel(repo *Repository, raw []byte) *finding {
	f := &finding{bundle: attest.DigestOf(raw), repository: repo.Repository, channel: true}
	e, err := a.verifier.Channel(raw)
	if err == nil && !a.trust.Trusted(repo.Product, attest.RoleChannel, e) {
		err = refuse(verify.UntrustedSigner, "key %s had no role channel in product %s at %s", e.Signer(), repo.Product, e.Time().Format(time.RFC3339))
	}
	if err == nil {
		err = ofProduct(repo.Product, e)
	}
	return a.settle(f, raw, e, err)
}

// entitled asks what admission asks: who said it, and of which product.
func (a *assessor) entitled(product string, subject *manifest, e *verify.Evidence) error {
	role, fits := policy.RoleFor(e.Type(), subject.typ())
	switch {
	case role == "" && !fits && !known(e.Type()):
		if a.trust.Signs(product, e) {
			return nil
		}
	case !fits:
		return refuse(verify.SubjectMismatch, "a statement of type %s says nothing about an artifact of type %.80q", e.Type(), subject.typ())
	case a.trust.Trusted(product, role, e):
		return ofProduct(product, e)
	}
	return refuse(verify.UntrustedSigner, "key %s had no role for a %s statement in product %s at %s", e.Signer(), e.Type(), product, e.Time().Format(time.RFC3339))
}

func (a *assessor) revokes(product string, e *verify.Evidence) error {
	if !a.trust.Trusted(product, attest.RoleRevocation, e) {
		return refuse(verify.UntrustedSigner, "key %s had no role revocation in product %s at %s", e.Signer(), product, e.Time().Format(time.RFC3339))
	}
	return ofProduct(product, e)
}

func known(predicateType string) bool {
	return slices.Contains([]string{
		attest.TypeEnvironment, attest.TypeBase, attest.TypeLivePatch, attest.TypeProvenance, attest.TypeRevocation, attest.TypeChannel, attest.TypeHostRecord, attest.TypeImport, attest.TypeEquivalence, attest.TypeRebuild, attest.TypeAdjudication,
	}, predicateType)
}

func ofProduct(product string, e *verify.Evidence) error {
	if got := policy.ProductOf(e); got != product && e.Type() != attest.TypeEnvironment {
		return refuse(verify.SubjectMismatch, "statement names product %.80q, want %s", got, product)
	}
	return nil
}

// settle notes how it ended and, of evidence, what the log has to hold.
func (a *assessor) settle(f *finding, raw []byte, e *verify.Evidence, err error) *finding {
	if err != nil {
		f.refusal = asRefusal(err)
		return f
	}
	b, err := attest.ParseBundle(raw)
	if err != nil {
		f.refusal = asRefusal(err)
		return f
	}
	var by attest.Credential = a.keys[e.Signer()]
	if b.Certificate != nil {
		by = b.Certificate
	}
	if f.leaf, err = ledger.EntryBody(b.Envelope, by); err != nil {
		f.leaf = nil // another kind of leaf is in no log of ours, and is no entry of the mirror's
	}
	f.evidence = e
	f.logID = b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0].GetLogId().GetKeyId()
	return f
}

func refuse(reason verify.Reason, format string, args ...any) *verify.Refusal {
	return &verify.Refusal{Reason: reason, Fact: fmt.Sprintf(format, args...), Remedy: reason.Remedy()}
}

// asRefusal makes an error that is no refusal one.
func asRefusal(err error) *verify.Refusal {
	var r *verify.Refusal
	if errors.As(err, &r) {
		return r
	}
	return refuse(verify.Corrupt, "%v", err)
}
