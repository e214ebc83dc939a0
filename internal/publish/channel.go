package publish

import (
	"context"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// Channel makes a version of a channel of the product and sends it. It takes
// effect with the server's record of it.
func (p *Publisher) Channel(ctx context.Context, c attest.Channel) (*Statement, *api.ChannelTaken, error) {
	c.Product = p.config.Product
	bundle, s, err := p.alone(ctx, attest.TypeChannel, attest.ChannelID(c.Product, c.Name), &c)
	if err != nil {
		return nil, nil, err
	}
	p.progress.Step("sending the channel")
	taken, err := p.config.Server.SendChannel(ctx, bundle)
	p.progress.Clear()
	return s, taken, err
}
