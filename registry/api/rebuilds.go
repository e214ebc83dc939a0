package api

import (
	"context"
	"net/url"

	"github.com/patchfit/patchfit/attest"
)

// Rebuilds answers GET /v1/rebuilds?product=: what waits for rebuilders.
type Rebuilds struct {
	SchemaVersion int       `json:"schemaVersion"`
	Product       string    `json:"product"`
	Repository    string    `json:"repository"`
	Waiting       []Waiting `json:"waiting"` // bases first, then live patches, each by digest
}

// Waiting is a base or a live patch that the trust policy asks a quorum of rebuilds
// of, and that has not reached it.
type Waiting struct {
	Kind     string        `json:"kind"` // "base" or "live-patch"
	Manifest attest.Digest `json:"manifest"`
	File     attest.Digest `json:"file"`
	Missing  string        `json:"missing"` // for people: who counts, what is missing
}

// Rebuilds lists what waits for rebuilders in a product.
func (c *Client) Rebuilds(ctx context.Context, product string) (*Rebuilds, error) {
	v := &Rebuilds{}
	return answer(v, c.Get(ctx, "/v1/rebuilds", url.Values{"product": {product}}, v))
}
