package registry

import (
	"context"
	"crypto/sha512"
	"fmt"
	"net/http"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/api"
)

// manifests are those of one repository.
type manifests struct {
	closedManifests
	handle
}

// Get returns a manifest that who asks may have, hashed as it is read.
func (s *manifests) Get(ctx context.Context, dgst digest.Digest, _ ...distribution.ManifestServiceOption) (distribution.Manifest, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	d, err := x.resolve(dgst)
	if err != nil {
		return nil, err
	}
	if err := x.mayRead(ctx, d); err != nil {
		return nil, err
	}
	m, ok := s.registry.State.Manifest(s.name, d)
	if !ok { // deleted since it was decided on
		return nil, x.refuse(api.Errorf(http.StatusNotFound, codeNoManifest, "manifest %s is not in %s", d, s.name))
	}
	body, err := s.registry.bodies.get(ctx, d)
	if err != nil {
		return nil, x.refuseFor(&unreadError{d, err})
	}
	got, _, err := distribution.UnmarshalManifest(m.MediaType, body.bytes)
	if err != nil {
		return nil, x.refuseFor(err)
	}
	return got, nil
}

// Put takes a manifest in, and gives it the tags that come with it.
func (s *manifests) Put(ctx context.Context, m distribution.Manifest, _ ...distribution.ManifestServiceOption) (digest.Digest, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return "", err
	}
	d, err := s.put(ctx, x, m)
	if err != nil {
		return "", err
	}
	return digest.Digest(d), x.tag(ctx, d)
}

// put takes a manifest in. A crash before its record leaves bytes that nothing
// names.
func (s *manifests) put(ctx context.Context, x *exchange, m distribution.Manifest) (attest.Digest, error) {
	if err := x.must(push, s.name); err != nil {
		return "", err
	}
	mediaType, raw, err := m.Payload()
	if err != nil {
		return "", x.refuseFor(err)
	}
	if err := x.isPutAs(raw); err != nil {
		return "", err
	}
	if e := x.settledAll(attest.DigestOf(raw)); e != nil {
		return "", x.refuse(e)
	}
	if _, byDigest := x.named(); !byDigest {
		if e := s.registry.settled(s.name, x.reference, attest.DigestOf(raw)); e != nil {
			return "", x.refuse(e)
		}
	}
	s.registry.linking.RLock()
	defer s.registry.linking.RUnlock()
	admission, err := s.registry.Admit.Manifest(admit.Put{
		Repository: s.name, MediaType: mediaType, Raw: raw, Files: linked{ctx, s.handle}, May: x.mayPut,
	})
	if err != nil {
		return "", x.refuseFor(err)
	}
	if err := s.keep(admission, raw); err != nil {
		return "", x.unrecorded(err)
	}
	if err := s.announce(ctx, x, admission); err != nil {
		return "", err
	}
	if subject := admission.Manifest.SubjectName; subject != "" {
		x.answer.Header().Set("OCI-Subject", subject)
	}
	return admission.Manifest.Artifact.Manifest, nil
}

// isPutAs refuses bytes that do not have the sha512 they are put under.
func (x *exchange) isPutAs(raw []byte) error {
	if x.sha512 == "" {
		return nil
	}
	if got := fmt.Sprintf("sha512:%x", sha512.Sum512(raw)); got != x.sha512 {
		return x.refuse(invalid(codeDigest, "the manifest is %s, and was put as %s", got, x.sha512))
	}
	return nil
}

// keep stores what records will name. The ledger's own copy has no delete.
func (s *manifests) keep(a *admit.Admission, raw []byte) error {
	if a.Bundle != nil {
		if _, err := s.registry.Store.Put(a.Bundle.Raw); err != nil {
			return err
		}
	}
	if a.Look != nil {
		if _, err := s.registry.Store.Put(a.Look.Raw); err != nil {
			return err
		}
	}
	_, err := s.registry.Store.Put(raw)
	return err
}

// announce records what came in: a statement, and what was found in a patch, take
// effect before the manifest is seen, so that one that is seen was announced whole.
// What is there already is not recorded again.
func (s *manifests) announce(ctx context.Context, x *exchange, a *admit.Admission) error {
	d := a.Manifest.Artifact.Manifest
	have, visible := s.registry.State.Manifest(s.name, d)
	if b := a.Bundle; b != nil && b.Counts && !(visible && have.Bundle == b.Evidence.Bundle()) {
		err := x.record(ctx, ledger.KindStatement, ledger.StatementAdmitted{
			Repository: s.name, Subject: b.Evidence.Subject(), Referrer: d,
			Bundle: b.Evidence.Bundle(), Type: b.Evidence.Type(), By: x.principal.ID,
		})
		if err != nil {
			return err
		}
	}
	if a.Look != nil {
		err := x.record(ctx, ledger.KindLint, ledger.Linted{
			Repository: s.name, Digest: d, Report: attest.DigestOf(a.Look.Raw), Linter: a.Look.Report.Linter, By: x.principal.ID,
		})
		if err != nil {
			return err
		}
	}
	if _, known := s.registry.State.Resolve(s.name, x.sha512); visible && (x.sha512 == "" || known) {
		return nil
	}
	return x.record(ctx, ledger.KindManifest, ledger.ManifestPut{
		Repository: s.name, Digest: d, SHA512: x.sha512, MediaType: a.Manifest.MediaType, By: x.principal.ID,
	})
}

// Delete hides a manifest and the tags that name it. Its bytes stay, and so
// does what was said about it.
func (s *manifests) Delete(ctx context.Context, dgst digest.Digest) error {
	x, err := exchangeOf(ctx)
	if err != nil {
		return err
	}
	if err := x.must(remove, s.name); err != nil {
		return err
	}
	d, err := x.resolve(dgst)
	if err != nil {
		return err
	}
	s.registry.linking.Lock()
	defer s.registry.linking.Unlock()
	if _, ok := s.registry.State.Manifest(s.name, d); !ok {
		return x.refuse(api.Errorf(http.StatusNotFound, codeNoManifest, "manifest %s is not in %s", d, s.name))
	}
	for _, tag := range s.registry.State.Tags(s.name) {
		if named, _ := s.registry.State.Tag(s.name, tag); named != d {
			continue
		}
		if e := x.lasting(tag); e != nil {
			return x.refuse(e)
		}
	}
	return x.record(ctx, ledger.KindDelete, ledger.Deleted{Repository: s.name, Digest: d, By: x.principal.ID})
}
