package attest

import (
	"cmp"
	"time"
)

// Channel is the predicate of channel/v1: the patches a product's publisher
// offers now, in order, and what is revoked, as one version of one list. Its
// subject is [ChannelID], so that all versions of a channel are about one
// thing. docs/spec/channel.md.
type Channel struct {
	Product     string        `json:"product"`
	Name        string        `json:"name"`        // "stable"
	Version     int64         `json:"version"`     // strictly increasing in the product and name
	Expires     time.Time     `json:"expires"`     // from then on it says nothing of what is newest
	Bases       []ChannelBase `json:"bases"`       // sorted by base
	Revocations []Digest      `json:"revocations"` // payloads of the revocations there are, sorted
}

// A ChannelBase lists what a channel offers for one base. All are manifests.
type ChannelBase struct {
	Base       Digest   `json:"base"`
	Patches    []Digest `json:"patches"`    // oldest first: the last is the one to have
	Superseded []Digest `json:"superseded"` // were offered once and are no more, sorted
}

// ChannelID returns what statements of a channel are about.
func ChannelID(product, name string) Digest {
	return DigestOf([]byte(product + "/" + name))
}

// Of returns what c offers for a base; zero where it does not list it.
func (c *Channel) Of(base Digest) ChannelBase {
	for _, b := range c.Bases {
		if b.Base == base {
			return b
		}
	}
	return ChannelBase{}
}

func (c *Channel) check(at spot) error {
	return cmp.Or(
		at.member("product").uuid(c.Product),
		at.member("name").token(c.Name),
		at.member("version").number(c.Version, 1),
		at.member("expires").time(c.Expires),
		each(at.member("bases"), c.Bases, checkChannelBase),
		ascending(at.member("bases"), c.Bases, func(b ChannelBase) Digest { return b.Base }),
		each(at.member("revocations"), c.Revocations, spot.digest),
		ascending(at.member("revocations"), c.Revocations, self),
	)
}

func checkChannelBase(at spot, b ChannelBase) error {
	if err := cmp.Or(
		at.member("base").digest(b.Base),
		at.member("patches").digests(b.Patches),
		each(at.member("superseded"), b.Superseded, spot.digest),
		ascending(at.member("superseded"), b.Superseded, self),
	); err != nil {
		return err
	}
	offered := make(map[Digest]bool, len(b.Patches))
	for _, d := range b.Patches {
		offered[d] = true
	}
	for i, d := range b.Superseded {
		if offered[d] {
			return at.member("superseded").index(i).errorf("%s is one of the patches that are offered", d)
		}
	}
	return nil
}

// ascending asks that each element sorts after the one before it.
func ascending[T any](at spot, list []T, key func(T) Digest) error {
	for i := 1; i < len(list); i++ {
		if key(list[i-1]) >= key(list[i]) {
			return at.index(i).errorf("%s does not sort after the element before it", key(list[i]))
		}
	}
	return nil
}

func (c *Channel) about(at spot, subjects []Subject) error {
	if err := count(at, subjects, 1); err != nil {
		return err
	}
	if want := ChannelID(c.Product, c.Name); subjects[0].Digest != want {
		return at.index(0).errorf("%s is not the channel %s", subjects[0].Digest, want)
	}
	return nil
}
