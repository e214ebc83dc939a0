package api

import (
	"context"
	"net/url"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// NewEmbargo is the body of POST /v1/embargoes. It stands in the place of the
// embargo there is.
type NewEmbargo struct {
	Product string        `json:"product"`
	Patch   attest.Digest `json:"patch,omitzero"` // digest of its manifest, which need not be there yet; absent: the whole product
	Until   time.Time     `json:"until,omitzero"` // absent: until it is lifted
	Hosts   []string      `json:"hosts"`          // ids of those it is not kept from
	Lift    bool          `json:"lift"`           // end it instead
}

// Embargoes answers GET /v1/embargoes?product=.
type Embargoes struct {
	SchemaVersion int       `json:"schemaVersion"`
	Product       string    `json:"product"`
	Embargoes     []Embargo `json:"embargoes"` // that of the product first
}

// An Embargo is one that nobody lifted.
type Embargo struct {
	Patch    attest.Digest `json:"patch,omitzero"` // absent: the whole product
	Until    time.Time     `json:"until,omitzero"`
	Over     bool          `json:"over"` // it came to its end
	Hosts    []string      `json:"hosts"`
	Since    time.Time     `json:"since"`
	Sequence int64         `json:"sequence"` // of its journal record
	By       string        `json:"by"`
}

// Embargo keeps a product, or a patch of it, from every host that is not named,
// or ends that.
func (c *Client) Embargo(ctx context.Context, e NewEmbargo) error {
	if e.Hosts == nil {
		e.Hosts = []string{}
	}
	return c.post(ctx, "/v1/embargoes", e, &Done{})
}

// Embargoes lists the embargoes of a product.
func (c *Client) Embargoes(ctx context.Context, product string) (*Embargoes, error) {
	v := &Embargoes{}
	return answer(v, c.Get(ctx, "/v1/embargoes", url.Values{"product": {product}}, v))
}
