package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// offer has the server offer a version of the channel stable, in the place of
// the one before.
func (s *server) offer(version int64, edit func(*attest.Channel)) {
	s.t.Helper()
	c := &attest.Channel{
		Product: s.product.ID, Name: "stable", Version: version, Expires: s.authority.Now.Add(time.Hour),
		Bases: []attest.ChannelBase{{
			Base: s.world.BaseManifest, Superseded: []attest.Digest{},
			Patches: []attest.Digest{attest.DigestOf([]byte("an older patch")), s.world.PatchManifest},
		}},
		Revocations: []attest.Digest{},
	}
	if edit != nil {
		edit(c)
	}
	s.serve(c, s.authority.Channel(c))
}

func (s *server) serve(c *attest.Channel, bundle []byte) {
	s.channels = slices.DeleteFunc(s.channels, func(o api.ServedChannel) bool { return o.Name == c.Name })
	s.channels = append(s.channels, api.ServedChannel{Name: c.Name, Version: c.Version, Expires: c.Expires, Bundle: bundle})
}

// requireChannels signs a trust policy of that version, which asks for channels.
func (s *server) requireChannels(version int64) {
	s.product.Channels = attest.ChannelsRequired
	s.signPolicy(version, s.root)
}

func (m *machine) pullChannel(name string) (p *Pulled, err error) {
	err = m.with(func(a *Agent) error {
		ref, err := a.Find(repository, name)
		if err != nil {
			return err
		}
		p, err = a.Pull(m.t.Context(), ref, m.file())
		return err
	})
	return p, err
}

// A host's own site policy can ask for a channel that the trust policy does not.
func TestHostRequiresAChannel(t *testing.T) {
	m := enrolled(t)
	const site = "maxRecordAge: 24h\nminimumAssurance:\n  host: signed\n  base: built\nrequireChannel: true\n"
	m.site(site)
	m.refused(verify.NoAttestation)
	m.site(site + "modes:\n  requireChannel: warn\n")
	m.pulls()
	m.site(site)
	m.refused(verify.NoAttestation)
}

func (m *machine) channelRefused(t *testing.T, reason verify.Reason, fact string) {
	t.Helper()
	_, err := m.pullChannel("")
	if got := reasonOf(err); got != reason || !strings.Contains(err.Error(), fact) {
		t.Errorf("got %v, want %s and %q", err, reason, fact)
	}
	if _, err := os.Stat(m.file()); err == nil {
		t.Error("a refused pull left a file")
	}
}

func TestPullFromAChannel(t *testing.T) {
	m := enrolled(t)
	m.channelRefused(t, verify.NoAttestation, "no channel stable")
	m.server.offer(3, nil)
	p, err := m.pullChannel("")
	if err != nil || p.Digest != m.server.world.PatchManifest {
		t.Fatalf("pulled %+v, %v", p, err)
	}
	err = m.with(func(a *Agent) error {
		s, err := a.Status()
		if len(s.Channels) != 1 || s.Channels[0].Version != 3 || s.Channels[0].Name != "stable" {
			t.Errorf("status: %+v", s.Channels)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What a server can do with channels, and what comes of it, on a host that has
// seen version 7.
func TestChannelsOfALiar(t *testing.T) {
	for name, tt := range map[string]struct {
		lie    func(*server)
		reason verify.Reason
		fact   string
	}{
		"set back to an older backup": {func(s *server) { s.offer(6, nil) }, verify.Rollback, "offers version 6 of channel stable, this host has seen version 7"},
		"no channels any more":        {func(s *server) { s.channels = nil }, verify.Rollback, "no longer has channel stable"},
		"another of the same version": {func(s *server) {
			s.offer(7, func(c *attest.Channel) { c.Revocations = []attest.Digest{attest.DigestOf(nil)} })
		}, verify.Contested, "two versions 7"},
		"a newer one nobody may sign": {func(s *server) {
			c := &attest.Channel{Product: s.product.ID, Name: "stable", Version: 8, Expires: s.authority.Now.Add(time.Hour), Bases: []attest.ChannelBase{}, Revocations: []attest.Digest{}}
			s.serve(c, s.authority.Bundle(s.authority.Statement(attest.TypeChannel, attest.ChannelID(c.Product, c.Name), "", c), s.authority.Signer("patch")))
		}, verify.Rollback, "no longer has channel stable"},
		"a revocation kept back": {func(s *server) {
			s.offer(8, func(c *attest.Channel) { c.Revocations = []attest.Digest{attest.DigestOf([]byte("kept back"))} })
		}, verify.Rollback, "names revocation"},
		"one that froze": {func(s *server) { s.offer(8, func(c *attest.Channel) { c.Expires = s.authority.Now.Add(-time.Second) }) }, verify.Expired, "channel stable version 8 is stale: it was good until"},
		"nothing for this base": {func(s *server) {
			s.offer(8, func(c *attest.Channel) { c.Bases[0].Base = attest.DigestOf(nil) })
		}, verify.UnknownBase, "offers no patch for what this host runs"},
	} {
		t.Run(name, func(t *testing.T) {
			m := enrolled(t)
			m.server.offer(7, nil)
			if _, err := m.pullChannel(""); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(m.file()); err != nil {
				t.Fatal(err)
			}
			tt.lie(m.server)
			m.channelRefused(t, tt.reason, tt.fact)
			m.channelRefused(t, tt.reason, tt.fact) // a lie is not learned
			if tt.reason == verify.Rollback || tt.reason == verify.Contested {
				m.refused(tt.reason) // by tag, too: the host follows the channel now
			}
			m.server.offer(9, nil)
			if _, err := m.pullChannel("stable"); err != nil {
				t.Errorf("an honest server after it: %v", err)
			}
		})
	}
}

// Where the trust policy asks for channels the agent does, whatever the server says.
func TestChannelsRequiredOfTheHost(t *testing.T) {
	m := enrolled(t)
	m.server.requireChannels(2)
	m.refused(verify.NoAttestation)
	m.server.offer(1, func(c *attest.Channel) {
		c.Bases[0].Patches, c.Bases[0].Superseded = []attest.Digest{}, []attest.Digest{m.server.world.PatchManifest}
	})
	m.refused(verify.Superseded)
	m.server.offer(2, func(c *attest.Channel) { c.Expires = m.server.authority.Now.Add(-time.Second) })
	m.refused(verify.Expired)
	m.server.offer(3, nil)
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
}

// A thief's version 9000 is got rid of by revoking the key it was made with.
func TestAStolenChannelKeyIsNotForEver(t *testing.T) {
	m := enrolled(t)
	m.server.offer(9000, nil)
	if _, err := m.pullChannel(""); err != nil {
		t.Fatal(err)
	}
	thief := m.server.authority.Signer("channel").Key.ID()
	m.server.product.Authorities[attest.RoleChannel] = []string{m.server.authority.Signer("patch").Name}
	m.server.signPolicy(2, m.server.root)
	c := &attest.Channel{
		Product: m.server.product.ID, Name: "stable", Version: 8, Expires: m.server.authority.Now.Add(time.Hour), Revocations: []attest.Digest{},
		Bases: []attest.ChannelBase{{Base: m.server.world.BaseManifest, Patches: []attest.Digest{m.server.world.PatchManifest}, Superseded: []attest.Digest{}}},
	}
	honest := m.server.authority.Bundle(m.server.authority.Statement(attest.TypeChannel, attest.ChannelID(c.Product, c.Name), "", c), m.server.authority.Signer("patch"))
	m.server.serve(c, honest)
	if _, err := m.pullChannel(""); err != nil {
		t.Errorf("after the key %s lost its role: %v", thief, err)
	}
	m.server.offer(9001, nil)
	os.Remove(m.file())
	m.channelRefused(t, verify.Rollback, "this host has seen version 8")
}

// What a host has seen survives the agent, and is read strictly.
func TestSeenChannelsAreKept(t *testing.T) {
	m := enrolled(t)
	m.server.offer(7, nil)
	if _, err := m.pullChannel(""); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(m.state, channelsFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("kept with mode %v (%v)", info, err)
	}
	if err := os.WriteFile(path, []byte(`{"schemaVersion":1,"products":[],"more":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.pullChannel(""); err == nil || !strings.Contains(err.Error(), channelsFile) {
		t.Errorf("a state file with more in it: %v", err)
	}
}
