package gate_test

import (
	"strconv"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
)

// evidenceFalls are things of evidence that make it another answer: channels,
// places in the log, windows of keys and of identities, and how a site rule is
// meant.
func evidenceFalls() map[string]fall {
	list := func(s *scene) { s.list(1, time.Hour, s.fits.PatchManifest) }
	asked := func(s *scene) { list(s); s.takes(required) }
	strict := func(s *scene) { s.Site().MinimumAssurance.Host = "quoted" }
	return map[string]fall{
		"channels are asked for":        {nothing, func(s *scene) { s.takes(required) }},
		"channels are no longer asked":  {func(s *scene) { s.takes(required) }, func(s *scene) { s.takes(func(*attest.TrustPolicy) {}) }},
		"a channel lists the patch":     {func(s *scene) { s.takes(required) }, list},
		"a channel supersedes it":       {asked, func(s *scene) { s.list(2, time.Hour) }},
		"a channel forgets it":          {asked, func(s *scene) { s.list(2, time.Hour, s.other.PatchManifest) }},
		"a channel lists it again":      {func(s *scene) { asked(s); s.list(2, time.Hour) }, func(s *scene) { s.list(3, time.Hour, s.fits.PatchManifest) }},
		"the channel expires":           {func(s *scene) { s.takes(required); s.list(1, time.Minute, s.fits.PatchManifest) }, nothing},
		"the channel is renewed":        {func(s *scene) { s.takes(required); s.list(1, time.Second, s.fits.PatchManifest); time.Sleep(time.Hour) }, func(s *scene) { s.list(2, time.Hour, s.fits.PatchManifest) }},
		"the channel's key is revoked":  {asked, func(s *scene) { s.RevokeIt(attest.RevokeKey, s.Signer(string(attest.RoleChannel)).Key.ID()) }},
		"the channel itself is revoked": {asked, func(s *scene) { s.RevokeIt(attest.RevokeSubject, attest.ChannelID(s.Product.ID, "stable")) }},
		"its signer has no role": {asked, func(s *scene) {
			s.takes(func(p *attest.TrustPolicy) { required(p); delete(p.Products[0].Authorities, attest.RoleChannel) })
		}},

		"a key is revoked since before":  {nothing, func(s *scene) { s.revokeSince(0) }},
		"a key since after, then before": {func(s *scene) { s.revokeSince(s.logSize()) }, func(s *scene) { s.revokeSince(0) }},
		"a key's window ends before": {nothing, func(s *scene) {
			s.Signer(string(attest.RolePatch)).Until = s.Now
			s.takes(func(*attest.TrustPolicy) {})
		}},
		"a key's window begins after": {nothing, func(s *scene) {
			s.Signer(string(attest.RolePatch)).From = s.Now.Add(time.Second)
			s.takes(func(*attest.TrustPolicy) {})
		}},

		"an identity's window ends before": {func(s *scene) { s.certified() }, func(s *scene) {
			s.Signer(string(attest.RolePatch)).Until = s.Now
			s.takes(func(*attest.TrustPolicy) {})
		}},
		"an identity is revoked": {func(s *scene) { s.certified() }, func(s *scene) {
			id, _ := s.Signer(string(attest.RolePatch)).Identity.ID()
			s.RevokeIt(attest.RevokeKey, id)
		}},
		"an identity's key is revoked": {func(s *scene) { s.certified() }, func(s *scene) { s.RevokeIt(attest.RevokeKey, s.Signer(string(attest.RolePatch)).Key.ID()) }},

		"a site rule only warns":    {strict, func(s *scene) { s.Site().Modes.MinimumHost = policy.Warn }},
		"a site rule warns no more": {func(s *scene) { strict(s); s.Site().Modes.MinimumHost = policy.Warn }, func(s *scene) { s.Site().Modes.MinimumHost = policy.Enforce }},
	}
}

func required(p *attest.TrustPolicy) { p.Products[0].Channels = attest.ChannelsRequired }

// list has a channel of the product offer patches for the base of fits; what it
// does not offer of fits is superseded, if it offers nothing at all.
func (s *scene) list(version int64, expires time.Duration, patches ...attest.Digest) {
	b := attest.ChannelBase{Base: s.fits.BaseManifest, Patches: patches, Superseded: []attest.Digest{}}
	if len(patches) == 0 {
		b.Patches, b.Superseded = []attest.Digest{s.other.PatchManifest}, []attest.Digest{s.fits.PatchManifest}
	}
	bundle := s.Put(s.Channel(&attest.Channel{
		Product: s.Product.ID, Name: "stable", Version: version, Expires: time.Now().Add(expires).UTC().Truncate(time.Second),
		Bases: []attest.ChannelBase{b}, Revocations: []attest.Digest{},
	}))
	s.Must(ledger.KindChannel, ledger.ChannelTaken{Product: s.Product.ID, Name: "stable", Version: version, Bundle: bundle, By: s.Admin})
}

// revokeSince revokes the key of who signs patches, from a place in the log on.
func (s *scene) revokeSince(index int64) {
	key := s.Signer(string(attest.RolePatch)).Key.ID()
	bundle := s.Put(s.RevokeKey(s.Product.ID, key, s.Since(index)))
	s.Must(ledger.KindStatement, ledger.StatementAdmitted{Repository: repo, Subject: key, Bundle: bundle, Type: attest.TypeRevocation, By: s.Admin})
}

// logSize is the second line of a checkpoint.
func (s *scene) logSize() int64 {
	n, err := strconv.ParseInt(strings.Split(s.Since(0).Checkpoint, "\n")[1], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// certified has who signs patches be a name in certificates, and say all of it.
func (s *scene) certified() {
	s.CA("authority", nil).Certified(string(attest.RolePatch), "https://ci.example/patches", "", nil)
	s.takes(func(*attest.TrustPolicy) {})
	s.SayIt(s.fits.Said()[0])
	s.SayIt(s.fits.Said()[1])
}
