package policy

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// Channels are the newest versions of the channels of products. Nil is not
// "none": it knows of none, and denies where the trust policy asks for one.
type Channels struct {
	newest map[string]map[string]*verify.Evidence   // product, name
	places map[string]map[attest.Digest][]placement // product, patch
}

// A placement is where a channel lists a patch.
type placement struct {
	in         *verify.Evidence // the channel
	base       attest.Digest
	superseded bool
}

// NewChannels keeps, of each channel, the newest version among evs that a signer
// with role channel in its product made, and that r does not void. Of two of one
// version it keeps the one that was logged first.
func NewChannels(t *Trust, r *Revocations, evs []*verify.Evidence) *Channels {
	c := &Channels{make(map[string]map[string]*verify.Evidence), make(map[string]map[attest.Digest][]placement)}
	for _, e := range evs {
		ch := verify.As[attest.Channel](e)
		if ch == nil || !t.Trusted(ch.Product, attest.RoleChannel, e) || r.of(ch.Product).evidence(e) != nil {
			continue
		}
		if c.newest[ch.Product] == nil {
			c.newest[ch.Product] = make(map[string]*verify.Evidence)
		}
		if have := c.newest[ch.Product][ch.Name]; have == nil || newer(e, have) {
			c.newest[ch.Product][ch.Name] = e
		}
	}
	for product, named := range c.newest {
		c.places[product] = make(map[attest.Digest][]placement)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			c.place(product, named[name])
		}
	}
	return c
}

func newer(a, b *verify.Evidence) bool {
	x, y := verify.As[attest.Channel](a), verify.As[attest.Channel](b)
	return cmp.Or(cmp.Compare(x.Version, y.Version), cmp.Compare(b.LogIndex(), a.LogIndex()), cmp.Compare(b.Payload(), a.Payload())) > 0
}

func (c *Channels) place(product string, e *verify.Evidence) {
	all := c.places[product]
	for _, b := range verify.As[attest.Channel](e).Bases {
		for _, d := range b.Patches {
			all[d] = append(all[d], placement{e, b.Base, false})
		}
		for _, d := range b.Superseded {
			all[d] = append(all[d], placement{e, b.Base, true})
		}
	}
}

// Newest returns the newest version of a channel; nil: there is none.
func (c *Channels) Newest(product, name string) *verify.Evidence {
	if c == nil {
		return nil
	}
	return c.newest[product][name]
}

// All returns the newest version of each channel of a product, by name.
func (c *Channels) All(product string) []*verify.Evidence {
	if c == nil {
		return nil
	}
	named := c.newest[product]
	var all []*verify.Evidence
	for _, name := range slices.Sorted(maps.Keys(named)) {
		all = append(all, named[name])
	}
	return all
}

// An asking is who asks for a channel.
type asking struct {
	by   bool // somebody does
	warn bool // only the site policy does, and it warns
}

// channelAsked tells who asks for a channel: the trust policy, whose word nobody
// can soften, or the site policy. It is complete where that can be told.
func (f *view) channelAsked() (a asking, complete bool) {
	if f.under.trust == nil {
		return a, false
	}
	required := f.under.trust.Channels == attest.ChannelsRequired
	site := f.Site != nil && f.Site.RequireChannel
	return asking{required || site, !required && site && f.Site.Modes.RequireChannel == Warn}, true
}

// tell takes what a channel rule found last as a warning, where it only warns.
func (f *view) tell(a asking, rule int) {
	if a.warn {
		f.warnOf(rule)
	}
}

// placed looks for the patch, for its base, in the channels. It returns the one
// that offers it and expires last, and one that offered it once.
func (f *view) placed() (offers, dropped *verify.Evidence) {
	if f.Channels == nil || f.Patch == nil || f.Patch.Base == nil {
		return nil, nil
	}
	for _, p := range f.Channels.places[f.Product][f.Patch.Artifact.Manifest] {
		switch {
		case p.base != f.Patch.Base.Artifact.Manifest:
		case p.superseded:
			dropped = p.in
		case offers == nil || expiry(p.in).After(expiry(offers)):
			offers = p.in
		}
	}
	return offers, dropped
}

// channel returns the channel a decision stands on; nil where none is asked for,
// or none lists the patch.
func (f *Facts) channel() *verify.Evidence {
	v := view{Facts: f, under: newGathering(f.Trust, f.Product, f.Revoked)}
	if a, _ := v.channelAsked(); !a.by {
		return nil
	}
	offers, dropped := v.placed()
	return cmp.Or(offers, dropped)
}

func expiry(e *verify.Evidence) time.Time { return verify.As[attest.Channel](e).Expires }

func (f *view) channelListed() bool {
	a, complete := f.channelAsked()
	if !a.by {
		return complete
	}
	if f.Patch == nil || f.Patch.Base == nil {
		return false
	}
	switch offers, dropped := f.placed(); {
	case f.Channels == nil:
		f.missing("knowledge of the product's channels")
		f.tell(a, ruleChannelListed)
	case offers == nil && dropped == nil:
		f.missing("channel/v1 that lists the patch for its base")
		f.tell(a, ruleChannelListed)
	}
	return true
}

func (f *view) notSuperseded() bool {
	a, complete := f.channelAsked()
	if !a.by {
		return complete
	}
	offers, dropped := f.placed()
	if offers == nil && dropped != nil {
		f.ev = dropped
		f.differs("the patch in "+titleOf(dropped), "offered", "superseded")
		f.tell(a, ruleNotSuperseded)
	}
	return a.warn || offers != nil || dropped != nil
}

func (f *view) channelCurrent() bool {
	a, complete := f.channelAsked()
	if !a.by {
		return complete
	}
	offers, _ := f.placed()
	if offers == nil {
		return a.warn
	}
	if f.Now.IsZero() || !f.Now.Before(expiry(offers)) {
		f.ev = offers
		f.differs("now before "+titleOf(offers)+" expires", expiry(offers).Format(time.RFC3339), f.Now.UTC().Format(time.RFC3339))
		f.tell(a, ruleChannelCurrent)
	}
	return true
}

// titleOf names a channel for people.
func titleOf(e *verify.Evidence) string {
	c := verify.As[attest.Channel](e)
	return "channel " + c.Name + " version " + strconv.FormatInt(c.Version, 10)
}
