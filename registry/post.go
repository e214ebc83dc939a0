package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/distribution/distribution/v3"
	v2 "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/registry/api"
)

// A whole is a blob that comes with the request that begins its upload
// (distribution-spec, "Single POST"). nil: the request only begins one.
type whole struct {
	named digest.Digest
	from  io.Reader
	err   error // of from, but io.EOF: the client's fault
}

// wholeOf returns the blob that r brings. A mount brings none: what it falls back
// to is a session.
func (x *exchange) wholeOf(r *http.Request, q url.Values) (*whole, *api.Error) {
	named := q.Get("digest")
	if x.route != v2.RouteNameBlobUpload || r.Method != http.MethodPost || named == "" || q.Get("mount") != "" {
		return nil, nil
	}
	if r.Header.Get("Content-Range") != "" {
		return nil, invalid(codeUpload, "a part of a blob is not all of it: Content-Range has no place here").Hint("begin an upload without digest, and send parts to it")
	}
	if r.ContentLength > x.maxBlob() {
		return nil, tooLarge(x.maxBlob())
	}
	return &whole{named: digest.Digest(named), from: r.Body}, nil
}

func tooLarge(most int64) *api.Error {
	return api.Errorf(http.StatusRequestEntityTooLarge, codeSize, "a blob has at most %d bytes here", most).Hint("ask the server's admin for a higher limit")
}

// take takes a whole blob in, the way every other upload goes: a session that
// counts, the same writer, Commit, record. Whatever fails, the session is over:
// nobody was told its name. It returns what makes distribution answer 201: that
// the blob is there without an upload, as after a mount.
func (s *blobs) take(ctx context.Context, x *exchange, b *whole) error {
	upload, err := s.begin(ctx, x)
	if err != nil {
		return err
	}
	desc, err := x.receive(ctx, upload, b)
	if err != nil {
		return errors.Join(err, upload.Cancel(context.WithoutCancel(ctx)))
	}
	from, err := canonicalOf(s.name, desc.Digest)
	if err != nil {
		return x.refuseFor(err)
	}
	return distribution.ErrBlobMounted{From: from, Descriptor: desc}
}

// canonicalOf names a blob where it is. Distribution tells its listeners, of whom
// there are none here, where a mounted one is from.
func canonicalOf(repository string, d digest.Digest) (reference.Canonical, error) {
	name, err := reference.WithName(repository)
	if err != nil {
		return nil, err
	}
	return reference.WithDigest(name, d)
}

func (x *exchange) receive(ctx context.Context, upload distribution.BlobWriter, b *whole) (v1.Descriptor, error) {
	_, err := upload.ReadFrom(b)
	switch {
	case x.answer.refusal != nil:
		return v1.Descriptor{}, err // ReadFrom said why
	case b.err != nil:
		return v1.Descriptor{}, x.refuse(invalid(codeUpload, "the blob did not come whole").Hint("send it again"))
	case err != nil:
		return v1.Descriptor{}, x.refuseFor(err)
	}
	return upload.Commit(ctx, v1.Descriptor{Digest: b.named})
}

// Read reads what the client sends.
func (b *whole) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
