package control

import (
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
)

// edition is a version of the channel stable that offers what it is given.
func (s *scene) edition(version int64, edit func(*attest.Channel)) *attest.Channel {
	c := &attest.Channel{
		Product: s.Product.ID, Name: "stable", Version: version, Expires: time.Now().UTC().Truncate(time.Second).Add(time.Hour),
		Bases: []attest.ChannelBase{}, Revocations: []attest.Digest{},
	}
	if edit != nil {
		edit(c)
	}
	return c
}

func TestChannels(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		s.Publish("one")
		id, key := s.enrol(t, "a")
		pub, pubKey := s.Principal("pub", state.RolePublisher)
		host, publisher := s.as(id, key), s.as(pub, pubKey)
		send := func(version int64, edit func(*attest.Channel)) error {
			_, err := publisher.SendChannel(ctx(), s.Channel(s.edition(version, edit)))
			return err
		}
		if all, err := host.Channels(ctx(), s.Product.ID); err != nil || len(all.Channels) != 0 {
			t.Fatalf("channels before the first: %v, %v", all, err)
		}
		_, err := host.Channel(ctx(), s.Product.ID, "stable")
		wantError(t, "a channel there is not", err, 404, api.CodeNotFound)

		third := s.Channel(s.edition(3, nil)) // the first may have any version
		taken, err := publisher.SendChannel(ctx(), third)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := publisher.SendChannel(ctx(), third); err != nil || *again != *taken {
			t.Errorf("the same again: %v, %v", again, err)
		}
		if _, err := host.SendChannel(ctx(), third); err == nil {
			t.Error("a host may send channels")
		}
		for name, tt := range map[string]struct {
			err    error
			reason verify.Reason
			fact   string
		}{
			"an older version":         {send(2, nil), verify.Rollback, "is at version 3, this is version 2"},
			"another of the same":      {send(3, func(c *attest.Channel) { c.Expires = c.Expires.Add(time.Second) }), verify.Rollback, "is at version 3"},
			"one that has expired":     {send(4, func(c *attest.Channel) { c.Expires = c.Expires.Add(-2 * time.Hour) }), verify.Expired, "good until"},
			"a revocation it lacks":    {send(4, func(c *attest.Channel) { c.Revocations = []attest.Digest{attest.DigestOf(nil)} }), verify.NoAttestation, "does not have"},
			"one by another signer":    {s.sendAs(publisher, "patch", s.edition(4, nil)), verify.UntrustedSigner, "no role channel"},
			"one by a stranger":        {s.sendAs(publisher, "", s.edition(4, nil)), verify.UntrustedSigner, "keys did not make"},
			"a statement that is none": {second(publisher.SendChannel(ctx(), s.Revoke(s.Product.ID, attest.RevokeSubject, attest.DigestOf(nil)))), verify.Corrupt, attest.TypeChannel},
		} {
			wantError(t, name, tt.err, 422, string(tt.reason))
			if tt.err != nil && !strings.Contains(tt.err.Error(), tt.fact) {
				t.Errorf("%s: %v does not say %q", name, tt.err, tt.fact)
			}
		}
		wantError(t, "for another product", send(4, func(c *attest.Channel) { c.Product = "3b241101-e2bb-4255-8caf-4136c566a962" }), 404, api.CodeNotFound)

		if err := send(9, func(c *attest.Channel) { c.Bases = []attest.ChannelBase{} }); err != nil {
			t.Fatal(err)
		}
		if err := send(1, func(c *attest.Channel) { c.Name = "canary" }); err != nil {
			t.Fatal(err)
		}
		all, err := host.Channels(ctx(), s.Product.ID)
		if err != nil || len(all.Channels) != 2 || all.Channels[0].Name != "canary" || all.Channels[1].Version != 9 {
			t.Errorf("channels: %+v, %v", all, err)
		}
		one, err := host.Channel(ctx(), s.Product.ID, "stable")
		if err != nil || one.Version != 9 {
			t.Fatalf("the newest: %+v, %v", one, err)
		}
		if e, err := s.State.Verifier().Channel(one.Bundle); err != nil || verify.As[attest.Channel](e).Version != 9 {
			t.Errorf("its bundle: %v", err)
		}

		// A revoked key makes no more channels, and what it made is not served.
		s.RevokeIt(attest.RevokeKey, s.Signer("channel").Key.ID())
		if all, err := host.Channels(ctx(), s.Product.ID); err != nil || len(all.Channels) != 0 {
			t.Errorf("channels by a revoked key: %+v, %v", all, err)
		}
		wantError(t, "one by a revoked key", send(10, nil), 422, string(verify.Revoked))

		// History is what the journal says: made again, it is the same.
		rebuilt, err := s.Rebuild()
		if err != nil {
			t.Fatal(err)
		}
		if len(rebuilt.Channels(s.Product.ID)) != len(s.State.Channels(s.Product.ID)) {
			t.Error("made again from the journal, there are other channels")
		}
	})
}

func second[T any](_ T, err error) error { return err }

// sendAs sends a channel signed by another; "": by nobody the trust policy knows.
func (s *scene) sendAs(c *api.Client, signer string, ch *attest.Channel) error {
	by := s.Stranger()
	if signer != "" {
		by = s.Signer(signer)
	}
	_, err := c.SendChannel(ctx(), s.Bundle(s.Statement(attest.TypeChannel, attest.ChannelID(ch.Product, ch.Name), "", ch), by))
	return err
}

// A place in a log that does not verify is no revocation that is taken in.
func TestRevocationsOfAPlaceThatIsNone(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		pub, pubKey := s.Principal("pub", state.RolePublisher)
		publisher := s.as(pub, pubKey)
		key := s.Signer("patch").Key.ID()
		last := int64(len(w.Said()))
		_, err := publisher.Revoke(ctx(), s.RevokeKey(s.Product.ID, key, &attest.Since{LogIndex: 1 << 30, Checkpoint: s.Since(0).Checkpoint}))
		wantError(t, "beyond the log", err, 422, string(verify.NotLogged))
		if _, err := publisher.Revoke(ctx(), s.RevokeKey(s.Product.ID, key, s.Since(last))); err != nil {
			t.Fatal(err)
		}
		id, hostKey := s.enrol(t, "a")
		host := s.as(id, hostKey)
		s.record(t, host, id, hostKey, w)
		if why, err := host.Why(ctx(), id, s.Product.Repository, string(w.PatchManifest)); err != nil || !why.Allow {
			t.Errorf("what was said before is denied: %+v, %v", why, err)
		}
		if _, err := publisher.Revoke(ctx(), s.RevokeKey(s.Product.ID, key, s.Since(0))); err != nil {
			t.Fatal(err)
		}
		if why, err := host.Why(ctx(), id, s.Product.Repository, string(w.PatchManifest)); err != nil || why.Allow {
			t.Errorf("what was said after is allowed: %+v, %v", why, err)
		}
	})
}
