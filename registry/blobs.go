package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// blobs are those of one repository.
type blobs struct {
	closedBlobs
	handle
}

// Stat describes a blob that who asks may have.
func (s *blobs) Stat(ctx context.Context, dgst digest.Digest) (v1.Descriptor, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return v1.Descriptor{}, err
	}
	if err := x.mayReadBlob(ctx, attest.Digest(dgst)); err != nil {
		return v1.Descriptor{}, err
	}
	d := attest.Digest(dgst)
	desc, err := s.stat(ctx, d)
	if isMissing(err) && len(s.registry.State.Referencing(s.name, d)) > 0 {
		return v1.Descriptor{}, x.unreadable(d, fmt.Errorf("%s: %w", d, errNoFile))
	}
	if err != nil {
		return v1.Descriptor{}, x.refuseFor(err)
	}
	return desc, nil
}

// ServeBlob sends a blob that who asks may have, from a file that was found
// whole. w is distribution's; the answer beneath it can hand the file to the
// kernel.
func (s *blobs) ServeBlob(ctx context.Context, _ http.ResponseWriter, r *http.Request, dgst digest.Digest) error {
	x, err := exchangeOf(ctx)
	if err != nil {
		return err
	}
	d := attest.Digest(dgst)
	if err := x.mayReadBlob(ctx, d); err != nil {
		return err
	}
	file, err := s.registry.files.open(d)
	if err != nil {
		return x.unreadable(d, err)
	}
	defer file.Close()
	h := x.answer.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("Docker-Content-Digest", string(d))
	h.Set("Etag", `"`+string(d)+`"`)
	http.ServeContent(x.answer, r, "", time.Time{}, file)
	return nil
}

// unreadable makes an error of a file the answer, and damage an alarm.
func (x *exchange) unreadable(d attest.Digest, err error) error {
	if errors.Is(err, errDamaged) || errors.Is(err, errNoFile) {
		x.registry.Logger.Error("stored bytes are damaged", "repository", x.repository, "digest", d, "error", err)
		return x.refuse(damaged(err))
	}
	return x.refuseFor(err)
}

// makeRoom removes what is damaged where the bytes of d are about to be put:
// distribution would take it for them.
func (g *Registry) makeRoom(d attest.Digest) error {
	cleared, err := g.files.clear(d)
	if cleared {
		g.Logger.Warn("damaged bytes are replaced", "digest", d)
	}
	return err
}

// Delete removes a blob from the repository that no manifest there needs.
func (s *blobs) Delete(ctx context.Context, dgst digest.Digest) error {
	x, err := exchangeOf(ctx)
	if err != nil {
		return err
	}
	if err := x.must(remove, s.name); err != nil {
		return err
	}
	s.registry.referenced.Lock()
	defer s.registry.referenced.Unlock()
	if needed := s.registry.State.Referencing(s.name, attest.Digest(dgst)); len(needed) > 0 {
		return x.refuse(api.Errorf(http.StatusForbidden, api.CodeDenied, "manifest %s needs blob %s", needed[0].Artifact.Manifest, dgst).
			Hint("delete the manifest first"))
	}
	if _, err := s.stat(ctx, attest.Digest(dgst)); err != nil {
		return x.refuseFor(err)
	}
	if err := s.stored.Delete(ctx, dgst); err != nil {
		return x.refuseFor(fmt.Errorf("deleting a blob: %w", err))
	}
	return nil
}

// stat describes a blob that is linked into the repository. The error says
// that it is not, as a client is told.
func (r handle) stat(ctx context.Context, d attest.Digest) (v1.Descriptor, error) {
	desc, err := r.stored.Stat(ctx, digest.Digest(d))
	switch {
	case errors.Is(err, distribution.ErrBlobUnknown):
		return desc, api.Errorf(http.StatusNotFound, codeNoBlob, "blob %s is not in %s", d, r.name)
	case err != nil:
		return desc, fmt.Errorf("looking up a blob: %w", err)
	case desc.Digest != digest.Digest(d):
		return desc, fmt.Errorf("blob %s is linked as %s: %w", desc.Digest, d, errDamaged)
	}
	return desc, nil
}

// isMissing reports whether err says that a blob is not in a repository.
func isMissing(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// linked reads the blobs that are linked into one repository.
type linked struct {
	ctx  context.Context
	repo handle
}

// File returns the bytes of a blob, hashed again.
func (l linked) File(d attest.Digest, limit int64) ([]byte, error) {
	_, err := l.repo.stat(l.ctx, d)
	if isMissing(err) {
		return nil, invalid(codeNoPart, "blob %s is not in %s", d, l.repo.name).Hint("push the blob before the manifest")
	}
	if err != nil {
		return nil, err
	}
	return l.repo.registry.files.read(d, limit)
}
