package mirror_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// A mirror carries the newest version of each channel, with its entry in the
// log, whatever it was asked for, and brings it into the next server last.
func TestChannelsComeAlong(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	stable := o.offer("stable", 7)
	path := filepath.Join(t.TempDir(), "m.tar")
	p, err := mirror.Pull(t.Context(), o.source(), []mirror.Want{{Repository: repo, Reference: "base"}}, path, nil)
	must(t, err)
	if held := p.Record.Repositories[0]; len(held.Channels) != 1 || held.Channels[0].Digest != attest.DigestOf(stable) ||
		p.Report.Repositories[0].Channels != 1 || p.Report.Entries != 5 || !p.Report.Verified() {
		t.Errorf("%d channels, %d verified, %d log entries", len(held.Channels), p.Report.Repositories[0].Channels, p.Report.Entries)
	}
	x := newTarget(t, o.envelope)
	for range 2 { // again, it is there already
		pushed, err := push(t.Context(), t, path, x)
		must(t, err)
		if pushed.Channels != 1 || len(pushed.Skipped) != 0 {
			t.Errorf("pushed %+v", pushed)
		}
	}
	if !bytes.Equal(x.channels[0].Bundle, stable) {
		t.Error("another channel arrived")
	}

	// A server that is past it keeps what it has.
	past := newTarget(t, o.envelope)
	past.channels = []api.ServedChannel{{Name: "stable", Version: 8}}
	pushed, err := push(t.Context(), t, path, past)
	must(t, err)
	if pushed.Channels != 0 || len(pushed.Skipped) != 1 || pushed.Skipped[0].Refusal.Reason != verify.Rollback {
		t.Errorf("pushed %+v", pushed)
	}
}

// A channel by somebody else is void in a mirror, and one that was changed on
// the way refused.
func TestChannelsOfOthersDoNotCount(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	c := &attest.Channel{Product: o.product.ID, Name: "stable", Version: 1, Expires: o.makers.Now, Bases: []attest.ChannelBase{}, Revocations: []attest.Digest{}}
	b := o.bundle(o.makers.Statement(attest.TypeChannel, attest.ChannelID(c.Product, c.Name), "", c), o.makers.Signer("patch"))
	o.channels = []api.ServedChannel{{Name: "stable", Version: 1, Bundle: b}}
	p := o.mustPull(filepath.Join(t.TempDir(), "m.tar"))
	if p.Report.Repositories[0].Channels != 0 || len(p.Report.Void) != 1 || p.Report.Void[0].Refusal.Reason != verify.UntrustedSigner {
		t.Errorf("%d channels, void %+v", p.Report.Repositories[0].Channels, p.Report.Void)
	}
}

// A revocation and a channel that names it, made while a mirror is, are not
// torn apart: the next server would refuse the one without the other.
func TestChannelMadeInTheMeantime(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.offer("stable", 7)
	o.meantime = func() {
		o.revoke(attest.RevokeSubject, attest.DigestOf([]byte("another patch")))
		parsed, err := attest.ParseBundle(o.revoked[0])
		must(t, err)
		c := &attest.Channel{
			Product: o.product.ID, Name: "stable", Version: 8, Expires: o.makers.Now.AddDate(1, 0, 0), Bases: []attest.ChannelBase{},
			Revocations: []attest.Digest{attest.DigestOf(parsed.Envelope.Payload)},
		}
		b := o.bundle(o.makers.Statement(attest.TypeChannel, attest.ChannelID(c.Product, c.Name), "", c), o.makers.Signer("channel"))
		o.channels = []api.ServedChannel{{Name: "stable", Version: 8, Expires: c.Expires, Bundle: b}}
	}
	held := o.mustPull(filepath.Join(t.TempDir(), "m.tar")).Record.Repositories[0]
	if len(held.Channels) != 1 || held.Channels[0].Digest == attest.DigestOf(o.channels[0].Bundle) && len(held.Revocations) == 0 {
		t.Errorf("the mirror has version 8 of the channel, and %d revocations", len(held.Revocations))
	}
}
