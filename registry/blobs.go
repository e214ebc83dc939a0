package registry

import (
	"context"
	"net/http"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// blobs are those of one repository.
type blobs struct {
	closedBlobs
	handle
}

const mediaOctets = "application/octet-stream"

// Stat describes a blob that who asks may have, by the digest it was asked by.
func (s *blobs) Stat(ctx context.Context, dgst digest.Digest) (v1.Descriptor, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return v1.Descriptor{}, err
	}
	b, err := s.readable(ctx, x, dgst)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: mediaOctets, Digest: dgst, Size: b.Size}, nil
}

// readable returns a blob that is in the repository and that who asks may have.
func (s *blobs) readable(ctx context.Context, x *exchange, dgst digest.Digest) (state.Blob, error) {
	d, err := x.resolve(dgst)
	if err != nil {
		return state.Blob{}, err
	}
	if err := x.mayReadBlob(ctx, d); err != nil {
		return state.Blob{}, err
	}
	b, ok := s.registry.State.Blob(s.name, d)
	if !ok {
		return state.Blob{}, x.refuse(s.noBlob(dgst))
	}
	return b, nil
}

func (r handle) noBlob(named digest.Digest) *api.Error {
	return api.Errorf(http.StatusNotFound, codeNoBlob, "blob %s is not in %s", named, r.name)
}

// ServeBlob sends a blob that who asks may have, from bytes that were found
// whole. w is distribution's; the answer beneath it can hand a file to the
// kernel.
func (s *blobs) ServeBlob(ctx context.Context, _ http.ResponseWriter, r *http.Request, dgst digest.Digest) error {
	x, err := exchangeOf(ctx)
	if err != nil {
		return err
	}
	known, err := s.readable(ctx, x, dgst)
	if err != nil {
		return err
	}
	b, err := s.registry.Content.Open(ctx, known.Digest)
	if _, ok := s.registry.State.Blob(s.name, known.Digest); err != nil && !ok {
		return x.refuse(s.noBlob(dgst)) // taken away since it was looked up: no damage
	}
	if err != nil {
		return x.refuseFor(&unreadError{known.Digest, err})
	}
	defer b.Close()
	blobHeader(x.answer.Header(), string(dgst))
	http.ServeContent(x.answer, r, "", time.Time{}, b.ReadSeekCloser)
	return nil
}

// blobHeader sets what goes out with the bytes of a blob.
func blobHeader(h http.Header, named string) {
	h.Set("Content-Type", mediaOctets)
	h.Set("Content-Disposition", "attachment")
	h.Set("Docker-Content-Digest", named)
	h.Set("Etag", `"`+named+`"`)
}

// Delete takes a blob out of the repository that no manifest there needs.
func (s *blobs) Delete(ctx context.Context, dgst digest.Digest) error {
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
	if needed := s.registry.State.Referencing(s.name, d); len(needed) > 0 {
		return x.refuse(api.Errorf(http.StatusForbidden, api.CodeDenied, "manifest %s needs blob %s", needed[0].Artifact.Manifest, dgst).
			Hint("delete the manifest first"))
	}
	if _, ok := s.registry.State.Blob(s.name, d); !ok {
		return x.refuse(s.noBlob(dgst))
	}
	return x.record(ctx, ledger.KindBlobRemoved, ledger.BlobRemoved{Repository: s.name, Digest: d, By: x.principal.ID})
}

// Create begins an upload, or mounts a blob from another repository that who
// asks may read there. Where it may not, or there is none, a plain upload is an
// answer that the specification allows, and tells nothing.
func (s *blobs) Create(ctx context.Context, options ...distribution.BlobCreateOption) (distribution.BlobWriter, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := x.must(push, s.name); err != nil {
		return nil, err
	}
	var o distribution.CreateOptions
	for _, option := range options {
		if err := option.Apply(&o); err != nil {
			return nil, x.refuseFor(err)
		}
	}
	if from := o.Mount.From; o.Mount.ShouldMount && from != nil {
		mounted, err := s.mount(ctx, x, from)
		if err != nil {
			return nil, err
		}
		if mounted != nil {
			return nil, mounted
		}
	}
	if x.whole != nil {
		return nil, s.take(ctx, x, x.whole)
	}
	return s.begin(ctx, x)
}

// mount puts a blob of another repository into this one; nil where it may not
// or cannot.
func (s *blobs) mount(ctx context.Context, x *exchange, from reference.Canonical) (mounted, err error) {
	name, d := from.Name(), attest.Digest(from.Digest())
	if !x.readsAll(name) {
		return nil, nil
	}
	if alias, ok := s.registry.State.Resolve(name, string(from.Digest())); ok {
		d = alias
	}
	s.registry.linking.RLock()
	defer s.registry.linking.RUnlock()
	b, ok := s.registry.State.Blob(name, d)
	if !ok {
		return nil, nil
	}
	release, e := s.registry.claim(x, b.Digest, b.Size)
	if e != nil {
		return nil, x.refuse(e)
	}
	defer release()
	if err := s.link(ctx, x, b.Digest, b.Size, alias(from.Digest())); err != nil {
		return nil, err
	}
	return distribution.ErrBlobMounted{From: from, Descriptor: v1.Descriptor{MediaType: mediaOctets, Digest: from.Digest(), Size: b.Size}}, nil
}

// link records that a blob is in the repository. linking is held, and its room
// claimed. What is
// there for as long as it was is not recorded again.
func (s *blobs) link(ctx context.Context, x *exchange, d attest.Digest, size int64, sha512 string) error {
	have, ok := s.registry.State.Blob(s.name, d)
	if ok && (sha512 == "" || have.SHA512 == sha512) && time.Since(have.Since) < relink {
		return nil
	}
	return x.record(ctx, ledger.KindBlob, ledger.BlobPut{
		Repository: s.name, Digest: d, SHA512: sha512, Size: size, By: x.principal.ID,
	})
}

// relink is after how long a blob that is pushed again counts as new, so that
// what collects blobs nothing references leaves it to whoever pushed it.
const relink = time.Minute

// alias returns a digest that is no identity here; "" for one that is.
func alias(named digest.Digest) string {
	if _, sha512, err := state.ParseName(string(named)); err == nil {
		return sha512
	}
	return ""
}

// linked reads the blobs of one repository.
type linked struct {
	ctx  context.Context
	repo handle
}

// File returns the bytes of a blob of at most limit bytes.
func (l linked) File(d attest.Digest, limit int64) ([]byte, error) {
	b, err := l.repo.registry.Content.Read(l.ctx, d, limit)
	if err != nil {
		return nil, &unreadError{d, err}
	}
	return b, nil
}
