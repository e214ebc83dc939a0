package content

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/kept"
)

const (
	maxSmall  = 512      // blobs kept in memory
	smallSize = 32 << 10 // bytes of one
)

func newSmalls(b Backend, lookEvery time.Duration) *kept.Cache[attest.Digest, Version, []byte] {
	return kept.New[attest.Digest, Version, []byte](maxSmall, cmp.Or(lookEvery, kept.LookEvery), b.Version)
}

// inMemory is the content of a small blob.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func newSmall(b []byte) Blob {
	return Blob{inMemory{bytes.NewReader(b)}, int64(len(b)), b}
}

// Small returns the bytes of a blob that is in memory, and was hashed when it
// came there. They are not to be changed.
func (s *Store) Small(ctx context.Context, d attest.Digest) ([]byte, bool) {
	return s.small.Get(ctx, d)
}

// readSmall returns all of a small object, hashed.
func (s *Store) readSmall(ctx context.Context, d attest.Digest, object io.Reader, v Version) ([]byte, error) {
	b := make([]byte, v.Size)
	if _, err := io.ReadFull(object, b); err != nil && !isShort(err) {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	if attest.DigestOf(b) != d {
		return nil, fmt.Errorf("%s: %w", d, ErrDamaged)
	}
	if now, err := s.backend.Version(ctx, d); err == nil && now == v && v.settled(time.Now()) {
		s.small.Add(d, v, b)
	}
	return b, nil
}
