package registry

import (
	"context"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/fileid"
	"github.com/patchfit/patchfit/internal/kept"
)

const (
	maxBodies = 1024     // manifests kept in memory
	bodySize  = 16 << 10 // bytes of one
)

// bodies reads the bytes of manifests, and keeps them in memory as long as
// their file in the store is the one that was hashed.
type bodies struct {
	store Store
	kept  *kept.Cache[attest.Digest, fileid.Identity, *body]
}

// A body is the bytes of a manifest, and the headers it goes out with. Nothing
// of it is changed: answers share it.
type body struct {
	bytes                []byte
	digest, etag, length []string
}

func newBody(d attest.Digest, b []byte) *body {
	return &body{b, []string{string(d)}, []string{`"` + string(d) + `"`}, []string{strconv.Itoa(len(b))}}
}

func newBodies(s Store, lookEvery time.Duration) *bodies {
	look := func(_ context.Context, d attest.Digest) (fileid.Identity, error) { return s.Identity(d) }
	return &bodies{s, kept.New[attest.Digest, fileid.Identity, *body](maxBodies, lookEvery, look)}
}

// get returns a manifest.
func (b *bodies) get(ctx context.Context, d attest.Digest) (*body, error) {
	if have, ok := b.kept.Get(ctx, d); ok {
		return have, nil
	}
	before, err := b.store.Identity(d)
	if err != nil {
		return nil, err
	}
	raw, err := b.store.Get(d)
	if err != nil {
		return nil, err
	}
	read := newBody(d, raw)
	if after, err := b.store.Identity(d); err == nil && after == before && after.Settled(time.Now()) && len(raw) <= bodySize {
		b.kept.Add(d, after, read)
	}
	return read, nil
}
