package registry

import (
	"errors"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/damage"
)

// alarm makes it known that stored bytes are not what they were.
func (x *exchange) alarm(k damage.Kind, d attest.Digest, err error) {
	x.registry.Logger.Error("stored bytes are damaged", "kind", k, "repository", x.repository, "digest", d, "error", err)
	if x.registry.Damaged != nil {
		x.registry.Damaged(damage.Object{Kind: k, Repository: x.repository, Digest: d})
	}
}

// kindOf says what bytes are that are damaged: blobs have a place of their own.
func kindOf(err error) damage.Kind {
	if errors.Is(err, content.ErrDamaged) || errors.Is(err, content.ErrNotFound) {
		return damage.Blob
	}
	return damage.Manifest
}

// OpenUploads returns how many uploads are under way.
func (g *Registry) OpenUploads() int {
	g.uploads.mu.Lock()
	defer g.uploads.mu.Unlock()
	return len(g.uploads.sessions)
}
