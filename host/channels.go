package host

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

const channelsFile = "channels.json"

// keptVersions is how many versions of a channel a host keeps: where the newest
// are revoked with the key of a thief, the one before them is the highest it has seen.
const keptVersions = 8

// seenChannels are the highest versions this host ever verified, and what it no
// longer trusts of them: a later trust policy may trust it again.
type seenChannels struct {
	SchemaVersion int               `json:"schemaVersion"`
	Products      []productChannels `json:"products"`
}

type productChannels struct {
	Product string   `json:"product"`
	Bundles [][]byte `json:"bundles"`
}

// of returns what was seen of a product, to be changed in place.
func (s *seenChannels) of(product string) *productChannels {
	i := slices.IndexFunc(s.Products, func(p productChannels) bool { return p.Product == product })
	if i < 0 {
		s.Products = append(s.Products, productChannels{Product: product, Bundles: [][]byte{}})
		i = len(s.Products) - 1
	}
	return &s.Products[i]
}

func (s *state) readChannels() (*seenChannels, error) {
	c := &seenChannels{SchemaVersion: stateVersion, Products: []productChannels{}}
	if err := readJSON(s.dir, channelsFile, c); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return c, versioned(channelsFile, c.SchemaVersion)
}

// channels fetches the channels of a product, holds them to what this host has
// seen of them, remembers what is newer, and returns them. A product whose
// channels nobody asked for, and of which none was ever seen, has none here.
func (a *Agent) channels(ctx context.Context, t *trust, product string, revoked []*verify.Evidence, asked bool) (*policy.Channels, error) {
	seen, err := a.state.readChannels()
	if err != nil {
		return nil, err
	}
	r := policy.NewRevocations(t.Trust, revoked)
	known := seen.of(product)
	if p, _ := t.Product(product); !asked && !a.site.RequireChannel && len(known.Bundles) == 0 && (p == nil || p.Channels == "") {
		return policy.NewChannels(t.Trust, r, nil), nil
	}
	answer, err := a.client.Channels(ctx, product)
	if err != nil {
		return nil, err
	}
	sent := bundlesOf(answer)
	verified := t.channels(known.Bundles)
	before := policy.NewChannels(t.Trust, r, verified)
	offered := policy.NewChannels(t.Trust, r, t.channels(sent))
	if refusal := regressed(product, before, offered); refusal != nil {
		return nil, refusal
	}
	if refusal := keptBack(product, offered, revoked); refusal != nil {
		return nil, refusal
	}
	if known.learn(verified, before, offered, sent) {
		if err := a.state.write(channelsFile, seen); err != nil {
			return nil, err
		}
	}
	return offered, nil
}

func bundlesOf(answer *api.Channels) [][]byte {
	var all [][]byte
	for _, c := range answer.Channels {
		all = append(all, c.Bundle)
	}
	return all
}

// channels verifies bundles; those that are none are left out.
func (t *trust) channels(bundles [][]byte) []*verify.Evidence {
	var all []*verify.Evidence
	for _, b := range bundles {
		if e, err := t.verifier.Channel(b); err == nil {
			all = append(all, e)
		}
	}
	return all
}

// regressed refuses a server that offers less than this host has seen.
func regressed(product string, before, offered *policy.Channels) *verify.Refusal {
	for _, e := range before.All(product) {
		was := verify.As[attest.Channel](e)
		now := verify.As[attest.Channel](offered.Newest(product, was.Name))
		var r *verify.Refusal
		switch {
		case now == nil:
			r = refuse(verify.Rollback, "the server no longer has channel %s of product %s, this host has seen version %d", was.Name, product, was.Version)
		case now.Version < was.Version:
			r = refuse(verify.Rollback, "the server offers version %d of channel %s, this host has seen version %d", now.Version, was.Name, was.Version)
		case now.Version == was.Version && offered.Newest(product, was.Name).Payload() != e.Payload():
			return refuse(verify.Contested, "there are two versions %d of channel %s of product %s", was.Version, was.Name, product)
		default:
			continue
		}
		r.Remedy = "ask whoever runs the server: it was set back to an older state, or keeps something back; nothing is pulled from it until it is as new as this host"
		return r
	}
	return nil
}

// keptBack refuses a server that does not send a revocation which its own
// channels name.
func keptBack(product string, offered *policy.Channels, revoked []*verify.Evidence) *verify.Refusal {
	have := make(map[attest.Digest]bool)
	for _, e := range revoked {
		have[e.Payload()] = true
	}
	for _, e := range offered.All(product) {
		c := verify.As[attest.Channel](e)
		for _, d := range c.Revocations {
			if !have[d] {
				r := refuse(verify.Rollback, "channel %s version %d names revocation %s, and the server does not send it", c.Name, c.Version, d)
				r.Remedy = "ask whoever runs the server where the revocation is; if the trust policy no longer trusts who made it, have the channel published again"
				return r
			}
		}
	}
	return nil
}

// learn keeps the bundles of what is offered and was not known, and reports
// whether anything changed. Of what was, which is verified, the lowest versions
// make room. What does not verify now stays.
func (p *productChannels) learn(verified []*verify.Evidence, before, offered *policy.Channels, sent [][]byte) bool {
	changed := false
	for _, e := range offered.All(p.Product) {
		name := verify.As[attest.Channel](e).Name
		if before.Newest(p.Product, name).Payload() == e.Payload() {
			continue
		}
		past := outnumbered(verified, attest.ChannelID(p.Product, name))
		p.Bundles = slices.DeleteFunc(p.Bundles, func(b []byte) bool { return slices.Contains(past, attest.DigestOf(b)) })
		i := slices.IndexFunc(sent, func(b []byte) bool { return attest.DigestOf(b) == e.Bundle() })
		p.Bundles = append(p.Bundles, sent[i])
		changed = true
	}
	return changed
}

// outnumbered returns the bundles of the versions of a channel that one more
// leaves no room for.
func outnumbered(verified []*verify.Evidence, channel attest.Digest) (past []attest.Digest) {
	var all []*verify.Evidence
	for _, e := range verified {
		if e.Subject() == channel {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *verify.Evidence) int {
		return cmp.Compare(verify.As[attest.Channel](b).Version, verify.As[attest.Channel](a).Version)
	})
	for _, e := range all[min(len(all), keptVersions-1):] {
		past = append(past, e.Bundle())
	}
	return past
}

// newest returns the patch that the channel ref names offers last for a base
// this host runs. A channel that has expired says nothing of what is newest.
func (a *Agent) newest(ctx context.Context, t *trust, product string, ref Reference, running []attest.Running) (Reference, error) {
	revoked, err := a.revocations(ctx, t, product)
	if err != nil {
		return ref, err
	}
	all, err := a.channels(ctx, t, product, revoked, true)
	if err != nil {
		return ref, err
	}
	c := verify.As[attest.Channel](all.Newest(product, ref.Channel))
	if c == nil {
		r := refuse(verify.NoAttestation, "product %s has no channel %s", product, ref.Channel)
		r.Remedy = "name a tag or a digest, or have the channel published: patchfit channel add"
		return ref, r
	}
	if at := now(); !at.Before(c.Expires) {
		return ref, stale(c, at)
	}
	known, err := a.client.Host(ctx, a.me.Host) // a hint: what it leads to is verified like any patch
	if err != nil {
		return ref, err
	}
	for _, b := range known.Bases {
		runs := func(r attest.Running) bool { return r.Measurement.Digest == b.File }
		if offers := c.Of(b.Manifest).Patches; b.Product == product && len(offers) > 0 && slices.ContainsFunc(running, runs) {
			return Reference{Repository: ref.Repository, Digest: offers[len(offers)-1]}, nil
		}
	}
	r := refuse(verify.UnknownBase, "channel %s version %d offers no patch for what this host runs, %s", c.Name, c.Version, listRunning(running))
	r.Remedy = "there is nothing to pull; if the host runs another build since its last record, send a new one: patchfit-agent record"
	return ref, r
}

func stale(c *attest.Channel, at time.Time) *verify.Refusal {
	r := refuse(verify.Expired, "channel %s version %d is stale: it was good until %s, and it is %s",
		c.Name, c.Version, c.Expires.Format(time.RFC3339), at.Format(time.RFC3339))
	r.Remedy = "have the product's publisher renew it (patchfit channel publish); if they did, the server keeps it back"
	return r
}

// A ChannelStatus is a channel as this host last saw it.
type ChannelStatus struct {
	Product string
	Name    string
	Version int64
	Expires time.Time
}

// channelStatus reads what was seen of channels, and asks nobody.
func (a *Agent) channelStatus() ([]ChannelStatus, error) {
	seen, err := a.state.readChannels()
	if err != nil || len(seen.Products) == 0 {
		return nil, err
	}
	revocations, err := a.state.readRevocations()
	if err != nil {
		return nil, err
	}
	t, err := prepare(a.pinned)
	if err != nil {
		return nil, err
	}
	var all []ChannelStatus
	for _, p := range seen.Products {
		revoked := evidence(t.revocations(p.Product, revocations.of(p.Product).Bundles))
		for _, e := range policy.NewChannels(t.Trust, policy.NewRevocations(t.Trust, revoked), t.channels(p.Bundles)).All(p.Product) {
			c := verify.As[attest.Channel](e)
			all = append(all, ChannelStatus{p.Product, c.Name, c.Version, c.Expires})
		}
	}
	return all, nil
}
