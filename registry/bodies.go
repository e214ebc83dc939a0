package registry

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/fileid"
)

const (
	maxBodies = 1024     // manifests kept in memory
	bodySize  = 16 << 10 // bytes of one
)

// bodies reads the bytes of manifests, and keeps those in memory whose file in
// the store is still the one that was hashed.
type bodies struct {
	store Store
	kept  *lru.Cache[attest.Digest, body]
}

type body struct {
	identity fileid.Identity
	bytes    []byte
}

func newBodies(s Store) *bodies {
	kept, _ := lru.New[attest.Digest, body](maxBodies) // fails for a size below 1
	return &bodies{s, kept}
}

// get returns the bytes of a manifest, which are not to be changed.
func (b *bodies) get(d attest.Digest) ([]byte, error) {
	before, err := b.store.Identity(d)
	if err != nil {
		return nil, err
	}
	if have, ok := b.kept.Get(d); ok && have.identity == before {
		return have.bytes, nil
	}
	raw, err := b.store.Get(d)
	if err != nil {
		b.kept.Remove(d)
		return nil, err
	}
	if after, err := b.store.Identity(d); err == nil && after == before && after.Settled(time.Now()) && len(raw) <= bodySize {
		b.kept.Add(d, body{after, raw})
	}
	return raw, nil
}
