package api

import (
	"context"
	"net/url"

	"github.com/patchfit/patchfit/attest"
)

// Which artifacts a rebuilder asks for.
const (
	RebuildsWaiting = "waiting" // those that a quorum is asked of, and have not reached it
	RebuildsAll     = "all"
)

// Rebuilds answers GET /v1/rebuilds?product=&which=: what there is to rebuild.
type Rebuilds struct {
	SchemaVersion int         `json:"schemaVersion"`
	Product       string      `json:"product"`
	Repository    string      `json:"repository"`
	Artifacts     []ToRebuild `json:"artifacts"` // bases first, then live patches, each by digest
}

// ToRebuild is a base or a live patch.
type ToRebuild struct {
	Kind     string        `json:"kind"` // "base" or "live-patch"
	Manifest attest.Digest `json:"manifest"`
	File     attest.Digest `json:"file"`
	// Missing is for people: who counts, and what is missing; "" where no quorum is
	// asked for, or it is reached.
	Missing string `json:"missing,omitzero"`
}

// Rebuilds lists what there is to rebuild in a product: which is
// [RebuildsWaiting] or [RebuildsAll].
func (c *Client) Rebuilds(ctx context.Context, product, which string) (*Rebuilds, error) {
	v := &Rebuilds{}
	return answer(v, c.Get(ctx, "/v1/rebuilds", url.Values{"product": {product}, "which": {which}}, v))
}
