package api

import (
	"context"
	"net/url"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// ChannelTaken answers POST /v1/channels, whose body is the Sigstore bundle of a
// channel/v1.
type ChannelTaken struct {
	SchemaVersion int           `json:"schemaVersion"`
	Sequence      int64         `json:"sequence"` // of the journal record at which it took effect
	Payload       attest.Digest `json:"payload"`
}

// Channels answers GET /v1/channels?product=.
type Channels struct {
	SchemaVersion int             `json:"schemaVersion"`
	Product       string          `json:"product"`
	Channels      []ServedChannel `json:"channels"` // by name, the newest version of each
}

// Channel answers GET /v1/channel?product=&name=.
type Channel struct {
	SchemaVersion int    `json:"schemaVersion"`
	Product       string `json:"product"`
	ServedChannel `json:",inline"`
}

// A ServedChannel is the newest version of a channel. What counts is in its
// bundle; the rest is to look at.
type ServedChannel struct {
	Name    string    `json:"name"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	Bundle  []byte    `json:"bundle"`
}

// SendChannel has the server take the next version of a channel.
func (c *Client) SendChannel(ctx context.Context, bundle []byte) (*ChannelTaken, error) {
	v := &ChannelTaken{}
	return answer(v, c.send(ctx, "/v1/channels", MediaBundle, bundle, v))
}

// Channels returns the newest version of each channel of a product.
func (c *Client) Channels(ctx context.Context, product string) (*Channels, error) {
	v := &Channels{}
	return answer(v, c.Get(ctx, "/v1/channels", url.Values{"product": {product}}, v))
}

// Channel returns the newest version of one channel.
func (c *Client) Channel(ctx context.Context, product, name string) (*Channel, error) {
	v := &Channel{}
	return answer(v, c.Get(ctx, "/v1/channel", url.Values{"product": {product}, "name": {name}}, v))
}
