package control

import (
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// takeChannel takes the next version of a channel. It takes effect with its
// record.
func (c *call) takeChannel() (answer, error) {
	raw, v, err := c.sent()
	if err != nil {
		return nil, err
	}
	e, err := v.Channel(raw)
	if err != nil {
		return nil, c.refusedTo(err)
	}
	ch := verify.As[attest.Channel](e)
	if err := c.inProduct(ch.Product); err != nil {
		return nil, err
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	repository, ok := c.s.State.Repository(ch.Product)
	if !ok {
		return nil, notFound("no product %.100q", ch.Product)
	}
	if !c.s.State.Trust().Trusted(ch.Product, attest.RoleChannel, e) {
		return nil, refusal(verify.UntrustedSigner, "", "key %s had no role channel in product %s at %s", e.Signer(), ch.Product, e.Time().Format(time.RFC3339))
	}
	if have := c.s.State.Channel(ch.Product, ch.Name); have.Proven() && have.Payload() == e.Payload() {
		admitted, _ := c.s.State.Admitted(repository, have.Bundle())
		return answered(api.ChannelTaken{SchemaVersion: api.SchemaVersion, Sequence: admitted.Sequence, Payload: have.Payload()}, nil)
	}
	if err := c.follows(repository, e, ch); err != nil {
		return nil, err
	}
	d, err := c.put(raw)
	if err != nil {
		return nil, err
	}
	r, err := c.append(ledger.KindChannel, ledger.ChannelTaken{Product: ch.Product, Name: ch.Name, Version: ch.Version, Bundle: d, By: c.who.ID})
	return answered(api.ChannelTaken{SchemaVersion: api.SchemaVersion, Sequence: r.Sequence, Payload: e.Payload()}, err)
}

// follows asks that a channel goes on from what there is: a higher version, not
// expired, not revoked, and no revocation in it that this server lacks, which
// would be one that hosts could not see.
func (c *call) follows(repository string, e *verify.Evidence, ch *attest.Channel) error {
	const publish = "make the next version from the newest: patchfit channel publish"
	last := verify.As[attest.Channel](c.s.State.Channel(ch.Product, ch.Name))
	now := time.Now()
	switch {
	case last != nil && ch.Version <= last.Version:
		return refusal(verify.Rollback, publish, "channel %s is at version %d, this is version %d", ch.Name, last.Version, ch.Version)
	case !now.Before(ch.Expires):
		return refusal(verify.Expired, publish, "channel %s version %d was good until %s, and it is %s",
			ch.Name, ch.Version, ch.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if by := c.s.State.Voided(repository, e); by != nil {
		r := verify.As[attest.Revocation](by)
		return refusal(verify.Revoked, "", "%s %s is revoked: %s", r.Kind, r.Digest, r.Reason)
	}
	have := make(map[attest.Digest]bool)
	for _, r := range c.s.State.Revocations(repository) {
		have[r.Evidence.Payload()] = true
	}
	for _, d := range ch.Revocations {
		if !have[d] {
			return refusal(verify.NoAttestation, "send the revocation first: patchfit revoke", "channel %s version %d names revocation %s, which this server does not have", ch.Name, ch.Version, d)
		}
	}
	return nil
}

// refusal is a refusal with a remedy of its own, or the reason's.
func refusal(reason verify.Reason, remedy, format string, args ...any) error {
	r := &verify.Refusal{Reason: reason, Fact: fmt.Sprintf(format, args...), Remedy: remedy}
	if remedy == "" {
		r.Remedy = reason.Remedy()
	}
	return refused(r)
}

// channels returns the newest version of each channel of a product.
func (c *call) channels() (answer, error) {
	q, err := c.query("product")
	if err != nil {
		return nil, err
	}
	if err := c.inProduct(q["product"]); err != nil {
		return nil, err
	}
	v := api.Channels{SchemaVersion: api.SchemaVersion, Product: q["product"], Channels: []api.ServedChannel{}}
	for _, e := range c.s.State.Channels(q["product"]) {
		served, err := c.servedChannel(e)
		if err != nil {
			return nil, err
		}
		v.Channels = append(v.Channels, served)
	}
	return answered(v, nil)
}

// channel returns the newest version of one channel.
func (c *call) channel() (answer, error) {
	q, err := c.query("product", "name")
	if err != nil {
		return nil, err
	}
	if err := c.inProduct(q["product"]); err != nil {
		return nil, err
	}
	e := c.s.State.Channel(q["product"], q["name"])
	if e == nil {
		return nil, notFound("no channel %.100q in product %s", q["name"], q["product"])
	}
	served, err := c.servedChannel(e)
	return answered(api.Channel{SchemaVersion: api.SchemaVersion, Product: q["product"], ServedChannel: served}, err)
}

func (c *call) servedChannel(e *verify.Evidence) (api.ServedChannel, error) {
	raw, err := c.s.Store.Get(e.Bundle())
	ch := verify.As[attest.Channel](e)
	return api.ServedChannel{Name: ch.Name, Version: ch.Version, Expires: ch.Expires, Bundle: raw}, err
}
