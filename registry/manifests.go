package registry

import (
	"context"
	"fmt"
	"net/http"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// manifests are those of one repository.
type manifests struct {
	closedManifests
	handle
	inner distribution.ManifestService
}

// Get returns a manifest that who asks may have, hashed as it is read.
func (s *manifests) Get(ctx context.Context, dgst digest.Digest, _ ...distribution.ManifestServiceOption) (distribution.Manifest, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	d := attest.Digest(dgst)
	if err := x.mayRead(ctx, d); err != nil {
		return nil, err
	}
	m, ok := s.registry.State.Manifest(s.name, d)
	if !ok { // deleted since it was decided on
		return nil, x.refuse(api.Errorf(http.StatusNotFound, codeNoManifest, "manifest %s is not in %s", d, s.name))
	}
	raw, err := s.registry.files.read(d, state.MaxManifest)
	if err != nil {
		return nil, x.unreadable(d, err)
	}
	got, _, err := distribution.UnmarshalManifest(m.MediaType, raw)
	if err != nil {
		return nil, x.refuseFor(err)
	}
	return got, nil
}

// Put takes a manifest in. Each step that a crash stops after leaves less than
// a manifest: bytes that nothing names, then a file without a record.
func (s *manifests) Put(ctx context.Context, m distribution.Manifest, _ ...distribution.ManifestServiceOption) (digest.Digest, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return "", err
	}
	if err := x.must(push, s.name); err != nil {
		return "", err
	}
	mediaType, raw, err := m.Payload()
	if err != nil {
		return "", x.refuseFor(err)
	}
	admission, err := s.registry.Admit.Manifest(admit.Put{
		Repository: s.name, MediaType: mediaType, Raw: raw, Files: linked{ctx, s.handle},
	})
	if err != nil {
		return "", x.refuseFor(err)
	}
	if err := s.keep(admission, raw); err != nil {
		return "", x.unrecorded(err)
	}
	s.registry.referenced.RLock()
	defer s.registry.referenced.RUnlock()
	dgst, err := s.write(ctx, x, m, admission.Manifest.Artifact.Manifest)
	if err != nil {
		return "", err
	}
	if err := s.announce(ctx, x, admission); err != nil {
		return "", err
	}
	if subject := admission.Manifest.Subject; subject != "" {
		x.answer.Header().Set("OCI-Subject", string(subject))
	}
	return dgst, nil
}

// write puts the manifest on the disk, where it is not seen yet.
func (s *manifests) write(ctx context.Context, x *exchange, m distribution.Manifest, d attest.Digest) (digest.Digest, error) {
	if err := s.registry.makeRoom(d); err != nil {
		return "", x.refuseFor(err)
	}
	dgst, err := s.inner.Put(ctx, m)
	if err != nil {
		return "", err // distribution knows what to make of its own
	}
	if err := s.registry.files.persist(d); err != nil {
		return "", x.refuseFor(err)
	}
	if attest.Digest(dgst) != d {
		return "", x.refuseFor(fmt.Errorf("manifest %s was stored as %s", d, dgst))
	}
	return dgst, nil
}

// keep stores what records will name. The ledger's own copy has no delete.
func (s *manifests) keep(a *admit.Admission, raw []byte) error {
	if a.Bundle != nil {
		if _, err := s.registry.Store.Put(a.Bundle.Raw); err != nil {
			return err
		}
	}
	_, err := s.registry.Store.Put(raw)
	return err
}

// announce records what came in: a statement takes effect before the manifest
// that carries it is seen, so that a manifest that is seen was announced whole.
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
	if visible {
		return nil
	}
	return x.record(ctx, ledger.KindManifest, ledger.ManifestPut{
		Repository: s.name, Digest: d, MediaType: a.Manifest.MediaType, By: x.principal.ID,
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
	d := attest.Digest(dgst)
	if _, ok := s.registry.State.Manifest(s.name, d); !ok {
		return x.refuse(api.Errorf(http.StatusNotFound, codeNoManifest, "manifest %s is not in %s", d, s.name))
	}
	return x.record(ctx, ledger.KindDelete, ledger.Deleted{Repository: s.name, Digest: d, By: x.principal.ID})
}
