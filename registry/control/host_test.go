package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// record sends a host's record as an agent does.
func (s *scene) record(t *testing.T, c *api.Client, id string, key statetest.Key, w *verifytest.World) *api.Recorded {
	t.Helper()
	ch, err := c.Challenge(ctx(), id)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Record(ctx(), id, s.RecordEnvelope(id, key, answerTo(w, ch)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Sequence != ch.Sequence || len(got.Bases) != 1 || got.Bases[0].Manifest != w.BaseManifest || got.Bases[0].Product != s.Product.ID {
		t.Errorf("recorded: %+v", got)
	}
	return got
}

func answerTo(w *verifytest.World, ch *api.Challenge) attest.HostRecord {
	r := *w.Record
	r.Sequence, r.Nonce, r.Time = ch.Sequence, ch.Nonce, ch.Time
	return r
}

// send answers a fresh challenge with a record that change has changed.
func (s *scene) send(c *api.Client, id string, w *verifytest.World, by statetest.Key, change func(*attest.HostRecord)) error {
	s.t.Helper()
	ch, err := c.Challenge(ctx(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	r := answerTo(w, ch)
	change(&r)
	_, err = c.Record(ctx(), id, s.RecordEnvelope(id, by, r))
	return err
}

func TestRecordsRefused(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		id, key := s.enrol(t, "a")
		other, otherKey := s.enrol(t, "b")
		c := s.as(id, key)
		send := func(change func(*attest.HostRecord), by statetest.Key) error { return s.send(c, id, w, by, change) }
		same := func(*attest.HostRecord) {}
		before := len(s.Journal.Records())
		for name, tt := range map[string]struct {
			err  error
			code string
		}{
			"another's key":      {send(same, otherKey), "BAD_SIGNATURE"},
			"a nonce of its own": {send(func(r *attest.HostRecord) { r.Nonce = "mine" }, key), "STALE_HOST_RECORD"},
			"another's nonce": {send(func(r *attest.HostRecord) {
				ch, err := s.as(other, otherKey).Challenge(ctx(), other)
				if err != nil {
					t.Fatal(err)
				}
				r.Nonce = ch.Nonce
			}, key), "STALE_HOST_RECORD"},
			"a clock 6 minutes off": {send(func(r *attest.HostRecord) { r.Time = r.Time.Add(-6 * time.Minute) }, key), "STALE_HOST_RECORD"},
		} {
			wantError(t, name, tt.err, 422, tt.code)
		}
		_, err := c.Record(ctx(), id, []byte("{}"))
		wantError(t, "no envelope", err, 422, "CORRUPT")
		wantError(t, "of another host", func() error {
			ch, _ := c.Challenge(ctx(), id)
			_, err := c.Record(ctx(), id, s.RecordEnvelope(other, key, answerTo(w, ch)))
			return err
		}(), 422, "SUBJECT_MISMATCH")
		if n := len(s.Journal.Records()); n != before {
			t.Errorf("refused records wrote %d records", n-before)
		}
	})
}

// TestRecordsInOrder: each answers a challenge of its own and is newer than the
// one before.
func TestRecordsInOrder(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		id, key := s.enrol(t, "a")
		c := s.as(id, key)
		send := func(change func(*attest.HostRecord)) error { return s.send(c, id, w, key, change) }
		ch, _ := c.Challenge(ctx(), id)
		envelope := s.RecordEnvelope(id, key, answerTo(w, ch))
		if _, err := c.Record(ctx(), id, envelope); err != nil {
			t.Fatal(err)
		}
		_, err := c.Record(ctx(), id, envelope)
		wantError(t, "the same again", err, 422, "ROLLBACK")
		r := answerTo(w, ch)
		r.Sequence++
		_, err = c.Record(ctx(), id, s.RecordEnvelope(id, key, r))
		wantError(t, "a nonce that was answered", err, 422, "STALE_HOST_RECORD")
		wantError(t, "the sequence from before", send(func(r *attest.HostRecord) { r.Sequence-- }), 422, "ROLLBACK")
		if err := send(func(r *attest.HostRecord) { r.Sequence += 5 }); err != nil {
			t.Errorf("a higher sequence: %v", err)
		}

		ch, _ = c.Challenge(ctx(), id)
		time.Sleep(challengeLife)
		r = answerTo(w, ch)
		r.Time = time.Now().UTC().Truncate(time.Second)
		_, err = c.Record(ctx(), id, s.RecordEnvelope(id, key, r))
		wantError(t, "a challenge that is over", err, 422, "STALE_HOST_RECORD")

		view, err := c.Host(ctx(), id)
		if err != nil || view.Record == nil || view.Record.Sequence != 7 || len(view.Bases) != 1 || view.Key != key.Public.Base64() {
			t.Errorf("host: %+v, error %v", view, err)
		}
	})
}

// TestRecordsArePaced: of one host six records a minute are kept, and of one
// more nothing is.
func TestRecordsArePaced(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		id, key := s.enrol(t, "a")
		other, otherKey := s.enrol(t, "b")
		c := s.as(id, key)
		s.record(t, c, id, key, w)
		time.Sleep(20 * time.Second)
		for range maxRecords - 1 {
			s.record(t, c, id, key, w)
		}
		ch, err := c.Challenge(ctx(), id)
		if err != nil {
			t.Fatal(err)
		}
		r := answerTo(w, ch)
		envelope := s.RecordEnvelope(id, key, r)
		before := len(s.Journal.Records())
		_, err = c.Record(ctx(), id, envelope)
		wantError(t, "one too many", err, 429, api.CodeTooMany)
		var e *api.Error
		if !errors.As(err, &e) || e.RetryAfter != 40*time.Second || e.Remedy == "" {
			t.Fatalf("one too many: %+v, want to wait 40 s", e)
		}
		if _, err := s.Blobs.Get(attest.DigestOf(envelope)); err == nil || len(s.Journal.Records()) != before {
			t.Errorf("the record too many left %d records; its bytes: error %v", len(s.Journal.Records())-before, err)
		}
		s.record(t, s.as(other, otherKey), other, otherKey, w)

		const early = 11 * time.Second // for less the client waits by itself
		time.Sleep(e.RetryAfter - early)
		_, err = c.Record(ctx(), id, envelope)
		wantError(t, "early", err, 429, api.CodeTooMany)
		time.Sleep(early)
		if _, err := c.Record(ctx(), id, envelope); err != nil {
			t.Errorf("the same record when it is time: %v", err)
		}
		wantError(t, "again one too many", s.send(c, id, w, key, func(*attest.HostRecord) {}), 429, api.CodeTooMany)
	})
}

// TestPaceIsBounded: hosts that no longer send are forgotten.
func TestPaceIsBounded(t *testing.T) {
	var p pace
	now := verifytest.Epoch
	for i := range 100 {
		for range maxRecords + 1 {
			p.take(strconv.Itoa(i), now)
		}
	}
	if n := len(p.byHost["7"]); n != maxRecords {
		t.Errorf("%d times of one host, want %d", n, maxRecords)
	}
	if wait := p.take("7", now.Add(recordWindow)); wait != 0 || len(p.byHost) != 1 {
		t.Errorf("after the window: wait %s, %d hosts known", wait, len(p.byHost))
	}
}

// TestRecordsAreSmall: no more is read of a record than the longest one needs.
func TestRecordsAreSmall(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		id, key := s.enrol(t, "a")
		c := s.as(id, key)
		_, err := c.Record(ctx(), id, make([]byte, maxRecord+1))
		wantError(t, "a byte too many", err, 413, api.CodeTooLarge)
		_, err = c.Record(ctx(), id, make([]byte, maxRecord))
		wantError(t, "as many as are read", err, 422, "CORRUPT")

		err = s.send(c, id, w, key, func(r *attest.HostRecord) {
			r.Running = nil
			for i := range 64 {
				m := attest.Measurement{Kind: attest.MeasureELFFile, Digest: attest.Digest(fmt.Sprintf("sha256:%064x", i)), BuildID: strings.Repeat("ab", 64)}
				r.Running = append(r.Running, attest.Running{Product: s.Product.ID, Measurement: m})
			}
		})
		if err != nil {
			t.Errorf("the longest record: %v", err)
		}
	})
}

// TestChallengesAreBounded: asking for many forgets the oldest.
func TestChallengesAreBounded(t *testing.T) {
	var c challenges
	now := verifytest.Epoch
	first, _ := c.issue("a", now)
	var last string
	for range maxChallenges {
		last, _ = c.issue("a", now)
	}
	if c.open("a", first, now) != "" || c.open("a", last, now) != last || c.open("b", last, now) != "" || c.open("a", "", now) != "" {
		t.Error("open challenges are not the newest ones of their host")
	}
	if n := len(c.byHost["a"]); n != maxChallenges {
		t.Errorf("%d open challenges, want %d", n, maxChallenges)
	}
	c.use("a", last)
	if c.open("a", last, now) != "" {
		t.Error("a challenge can be answered twice")
	}
}

// TestSuspended: access ends with the record, at the next request, and comes
// back; revoked is for good.
func TestSuspended(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		id, key := s.enrol(t, "a")
		c := s.as(id, key)
		if _, err := c.Host(ctx(), id); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{api.HostSuspended, api.HostActive, api.HostSuspended, api.HostRevoked, api.HostRevoked} {
			if err := s.admin.SetHostState(ctx(), id, to); err != nil {
				t.Fatal(err)
			}
			_, err := c.Host(ctx(), id)
			if to == api.HostActive && err != nil {
				t.Errorf("active again: %v", err)
			}
			if to != api.HostActive {
				wantError(t, to, err, 403, api.CodeDenied)
			}
		}
		wantError(t, "back from revoked", s.admin.SetHostState(ctx(), id, api.HostActive), 409, api.CodeConflict)
	})
}

// TestHostOfTwoProducts: an auditor of one product sees of a host what belongs to it.
func TestHostOfTwoProducts(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		s.otherProduct()
		other := ""
		for _, id := range s.State.Products() {
			if id != s.Product.ID {
				other = id
			}
		}
		made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID, other}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		key := statetest.NewKey(t)
		enrolled, err := s.client(&api.Options{}).Enrol(ctx(), request(t, made.Token, "both", key))
		if err != nil {
			t.Fatal(err)
		}
		s.Record(enrolled.Host, key, 1, w)
		id, auditorKey := s.Principal("auditor of the other")
		s.Must(ledger.KindGrant, ledger.Granted{Principal: id, Product: other, Role: state.RoleAuditor, By: s.Admin})
		auditor := s.as(id, auditorKey)
		got, err := auditor.Host(ctx(), enrolled.Host)
		if err != nil || !slices.Equal(got.Products, []string{other}) || len(got.Bases) != 0 || len(got.Record.Running) != 0 {
			t.Errorf("host as the other product's auditor sees it: %+v, error %v", got, err)
		}
		if offers, err := auditor.Offers(ctx(), enrolled.Host); err != nil || len(offers.Offers) != 0 {
			t.Errorf("offers as the other product's auditor sees them: %+v, error %v", offers, err)
		}
		_, err = auditor.Why(ctx(), enrolled.Host, s.Product.Repository, string(w.PatchManifest))
		wantError(t, "why in a product one has no role in", err, 404, api.CodeNotFound)
		admin, adminKey := s.Principal("admin of one", state.RoleAdmin)
		err = s.as(admin, adminKey).SetHostState(ctx(), enrolled.Host, api.HostSuspended)
		wantError(t, "suspended by the admin of one of its products", err, 404, api.CodeNotFound)
	})
}
