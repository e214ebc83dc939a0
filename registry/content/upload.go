package content

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/patchfit/patchfit/attest"
)

// An Upload is a blob on its way in. It is hashed as it comes. It is used by
// one goroutine at a time and ends with Commit or Cancel.
type Upload struct {
	store  *Store
	draft  Draft
	sha256 hash.Hash
	sha512 hash.Hash // nil: the draft can be read again
	size   int64
	failed bool
	read   named // what was read again
}

// named is the sha512 of the first bytes of an upload.
type named struct {
	size   int64
	sha512 string // "": not known
}

// Begin begins an upload; ErrFull.
func (s *Store) Begin(ctx context.Context) (*Upload, error) {
	if err := s.Room(); err != nil {
		return nil, err
	}
	draft, err := s.backend.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning an upload: %w", err)
	}
	u := &Upload{store: s, draft: draft, sha256: sha256.New()}
	if once, ok := draft.(interface{ ReadOnce() bool }); ok && once.ReadOnce() {
		u.sha512 = sha512.New()
	}
	return u, nil
}

// Size returns how many bytes came in so far.
func (u *Upload) Size() int64 { return u.size }

// ReadFrom takes all of r in: ErrFull. After an error of the store's own
// nothing more can be added; after one of r's, what came before it is in.
func (u *Upload) ReadFrom(r io.Reader) (int64, error) {
	if u.failed {
		return 0, errors.New("the upload failed before and cannot go on")
	}
	source := &source{upload: u, from: r}
	n, err := u.draft.ReadFrom(source)
	u.size += n
	if n != source.hashed || err != nil && source.err == nil {
		u.failed = true
	}
	if err == nil {
		err = source.full
	}
	if err != nil {
		return n, fmt.Errorf("taking bytes in: %w", err)
	}
	return n, nil
}

// roomEvery is after how many bytes an upload asks again whether there is room.
const roomEvery = 64 << 20

// A source hashes what is read through it, and ends when the room does.
type source struct {
	upload    *Upload
	from      io.Reader
	hashed    int64
	unchecked int64
	err       error // of from
	full      error
}

func (s *source) Read(p []byte) (int, error) {
	if s.unchecked >= roomEvery {
		if s.full = s.upload.store.Room(); s.full != nil {
			return 0, s.full
		}
		s.unchecked = 0
	}
	n, err := s.from.Read(p)
	s.upload.sha256.Write(p[:n])
	if s.upload.sha512 != nil {
		s.upload.sha512.Write(p[:n])
	}
	s.hashed += int64(n)
	s.unchecked += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Digest returns the digest of what came in so far.
func (u *Upload) Digest() attest.Digest { return attest.DigestFromSum(u.sha256.Sum(nil)) }

// SHA512 returns the same as "sha512:" and hex. Where that takes reading what
// came in again, it is done once, until more comes in.
func (u *Upload) SHA512(ctx context.Context) (string, error) {
	if u.sha512 != nil {
		return "sha512:" + hex.EncodeToString(u.sha512.Sum(nil)), nil
	}
	if u.read.sha512 != "" && u.read.size == u.size {
		return u.read.sha512, nil
	}
	r, err := u.draft.Content(ctx)
	if err != nil {
		return "", fmt.Errorf("reading an upload again: %w", err)
	}
	defer r.Close()
	h := sha512.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("reading an upload again: %w", err)
	}
	u.read = named{u.size, "sha512:" + hex.EncodeToString(h.Sum(nil))}
	return u.read.sha512, nil
}

// Rest lets go of what the upload holds open between requests.
func (u *Upload) Rest() error { return u.draft.Rest() }

// Commit makes what came in the blob d, whole and durable, in the place of any
// bytes that were there for it: ErrDigest, ErrFull.
func (u *Upload) Commit(ctx context.Context, d attest.Digest) error {
	if got := u.Digest(); u.failed || got != d {
		return fmt.Errorf("%s came in, want %s: %w", got, d, ErrDigest)
	}
	u.failed = true // whatever comes of it, it is over
	if err := u.draft.Commit(ctx, d); err != nil {
		return fmt.Errorf("keeping %s: %w", d, err)
	}
	u.store.forget(d)
	return nil
}

// Cancel ends an upload that was not committed and removes what came in.
func (u *Upload) Cancel(ctx context.Context) error {
	u.failed = true
	if err := u.draft.Cancel(ctx); err != nil {
		return fmt.Errorf("cancelling an upload: %w", err)
	}
	return nil
}
