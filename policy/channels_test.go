package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// channel has a version of a channel made, verified and kept.
func (s *scene) channel(t testing.TB, name string, version int64, expires time.Time, bases ...attest.ChannelBase) {
	t.Helper()
	s.say(t, "channel", name, version, expires, bases...)
}

// say has a signer of that name make it.
func (s *scene) say(t testing.TB, signer, name string, version int64, expires time.Time, bases ...attest.ChannelBase) {
	t.Helper()
	c := &attest.Channel{Product: s.product.ID, Name: name, Version: version, Expires: expires, Bases: bases, Revocations: []attest.Digest{}}
	ev, err := s.verifier.Channel(s.Bundle(s.Statement(attest.TypeChannel, attest.ChannelID(c.Product, c.Name), "", c), s.Signer(signer)))
	if err != nil {
		t.Fatal(err)
	}
	s.channels = append(s.channels, ev)
}

func offered(base attest.Digest, patches ...attest.Digest) attest.ChannelBase {
	return attest.ChannelBase{Base: base, Patches: patches, Superseded: []attest.Digest{}}
}

func dropped(base attest.Digest, patches ...attest.Digest) attest.ChannelBase {
	return attest.ChannelBase{Base: base, Patches: []attest.Digest{}, Superseded: patches}
}

// soon is after the time the facts are of.
var soon = verifytest.Epoch.Add(2 * time.Hour)

// required makes a scene whose trust policy asks for channels, with a world.
func required(t *testing.T, s *scene) *verifytest.World {
	s.product.Channels = attest.ChannelsRequired
	s.reload(t)
	w := s.World(s.product, "one")
	s.publish(t, w)
	return w
}

// listing are the facts of a product that asks for channels and has these.
func listing(say func(t *testing.T, s *scene, w *verifytest.World)) func(*testing.T, *scene) *policy.Facts {
	return func(t *testing.T, s *scene) *policy.Facts {
		w := required(t, s)
		say(t, s, w)
		return s.facts(t, w, w)
	}
}

func channelDenials() []denial {
	stranger := attest.DigestOf([]byte("another"))
	return []denial{
		{"no channel", listing(func(*testing.T, *scene, *verifytest.World) {}), only(verify.NoAttestation), []string{"channel/v1"}},
		{"channels not known", func(t *testing.T, s *scene) *policy.Facts {
			w := required(t, s)
			s.channel(t, "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest))
			f := s.facts(t, w, w)
			f.Channels = nil
			return f
		}, only(verify.NoAttestation), []string{"knowledge of the product's channels"}},
		{"a channel of other patches", listing(func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, soon, offered(w.BaseManifest, stranger))
		}), only(verify.NoAttestation), nil},
		{"a channel that has it for another base", listing(func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, soon, offered(stranger, w.PatchManifest))
		}), only(verify.NoAttestation), nil},
		{"a channel by another role", listing(func(t *testing.T, s *scene, w *verifytest.World) {
			s.say(t, "patch", "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest))
		}), only(verify.NoAttestation), nil},
		{"a channel whose key is revoked", listing(func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest))
			s.revoke(t, attest.RevokeKey, s.Signer("channel").Key.ID())
		}), only(verify.NoAttestation), nil},
		{"a newer version without it", listing(func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 2, soon, offered(w.BaseManifest, stranger))
			s.channel(t, "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest)) // it comes later, and is older
		}), only(verify.NoAttestation), nil},
		{"superseded", listing(func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 4, soon, dropped(w.BaseManifest, w.PatchManifest))
		}), only(verify.Superseded), []string{"channel stable version 4", "offered", "superseded"}},
		{"expired", listing(func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 4, s.Now.Add(time.Hour), offered(w.BaseManifest, w.PatchManifest))
		}), only(verify.Expired), []string{"channel stable version 4", "2026-03-01T13:00:00Z"}},
	}
}

// Where the trust policy asks for channels, one that offers the patch allows it,
// whatever others say; where it does not, none is looked at.
func TestChannelsAreAsked(t *testing.T) {
	s := newScene(t)
	w := required(t, s)
	s.channel(t, "canary", 1, soon, dropped(w.BaseManifest, w.PatchManifest))
	s.channel(t, "old", 9, s.Now, offered(w.BaseManifest, w.PatchManifest))
	s.channel(t, "stable", 1, soon, offered(w.BaseManifest, attest.DigestOf(nil), w.PatchManifest))
	f := s.facts(t, w, w)
	if d := policy.Decide(f); !d.Allow {
		t.Errorf("denied: %v", d.Reasons)
	}
	if allocs := testing.AllocsPerRun(100, func() { policy.Decide(f) }); allocs != 0 {
		t.Errorf("%v allocations for an allow", allocs)
	}
	if until := f.Until(24 * time.Hour); !until.Equal(soon) {
		t.Errorf("the answer stands until %s, the channel until %s", until, soon)
	}
	f.Channels = nil
	if policy.Decide(f).Allow {
		t.Error("allowed without the channels it asks for")
	}
	s.product.Channels = ""
	s.reload(t)
	s.channels = nil
	s.channel(t, "stable", 1, s.Now, dropped(w.BaseManifest, w.PatchManifest))
	if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
		t.Errorf("denied where nobody asks: %v", d.Reasons)
	}
}

// Of two versions the higher counts, in whatever order they come; of two of one
// version the one that was logged first.
func TestNewestChannel(t *testing.T) {
	s := newScene(t)
	for _, v := range []int64{3, 7, 7, 5} {
		s.channel(t, "stable", v, soon)
	}
	s.channels = append(s.channels, nil, new(verify.Evidence))
	c := policy.NewChannels(s.trust, nil, s.channels)
	if got := c.Newest(s.product.ID, "stable"); got != s.channels[1] {
		t.Errorf("newest is at log index %d", got.LogIndex())
	}
	if all := c.All(s.product.ID); len(all) != 1 || c.Newest(s.product.ID, "canary") != nil || c.All("another") != nil {
		t.Errorf("%d channels", len(all))
	}
	if (*policy.Channels)(nil).Newest("", "") != nil || (*policy.Channels)(nil).All("") != nil {
		t.Error("nothing has something")
	}
}

// TestEvidenceNamesTheChannel: what is on record of a decision tells by which
// version of which channel it came, where one is asked for and only there.
func TestEvidenceNamesTheChannel(t *testing.T) {
	for name, tt := range map[string]struct {
		say  func(t *testing.T, s *scene, w *verifytest.World)
		want bool
	}{
		"offered": {func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest))
		}, true},
		"superseded": {func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, soon, dropped(w.BaseManifest, w.PatchManifest))
		}, true},
		"not listed": {func(t *testing.T, s *scene, w *verifytest.World) { s.channel(t, "stable", 1, soon) }, false},
		"not asked for": {func(t *testing.T, s *scene, w *verifytest.World) {
			s.product.Channels = ""
			s.reload(t)
			s.channel(t, "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			f := listing(tt.say)(t, s)
			if got := slices.Contains(f.Evidence(), s.channels[0].Payload()); got != tt.want {
				t.Errorf("evidence %v names the channel: %t, want %t", f.Evidence(), got, tt.want)
			}
		})
	}
}
