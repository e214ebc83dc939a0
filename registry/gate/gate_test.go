package gate_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const repo = statetest.Repository

// A scene is a host that runs the base of fits and not that of other.
type scene struct {
	*statetest.House
	t           *testing.T
	fits, other *verifytest.World
	host        string
	key         statetest.Key
	journal     *trickyJournal
	gate        *gate.Gate
}

// play runs test in a bubble of synctest.
func play(t *testing.T, test func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(verifytest.Epoch)) // when keys and certificates are valid
		h := statetest.New(t)
		s := &scene{House: h, t: t, fits: h.Publish("fits"), other: h.Publish("other")}
		s.host, s.key = h.Enrol("a")
		s.report(1)
		s.journal = &trickyJournal{inner: h.Journal}
		s.gate = gate.New(h.State, s.journal, nil)
		defer func() {
			if err := s.gate.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		test(t, s)
	})
}

// report has the host say again what it runs.
func (s *scene) report(sequence int64) {
	s.fits.Record.Time = time.Now().UTC().Truncate(time.Second)
	s.Record(s.host, s.key, sequence, s.fits)
}

func (s *scene) decide(w *verifytest.World) gate.Verdict {
	s.t.Helper()
	v, err := s.gate.Decide(s.t.Context(), s.host, repo, w.PatchManifest)
	if err != nil {
		s.t.Fatalf("deciding on %s: %v", w.Name, err)
	}
	return v
}

// decided returns the decisions on record.
func (s *scene) decided() []ledger.Decided { return bodies[ledger.Decided](s, ledger.KindDecision) }

func (s *scene) uses() []ledger.DecisionUses {
	return bodies[ledger.DecisionUses](s, ledger.KindUses)
}

func bodies[T any](s *scene, kind ledger.Kind) []T {
	s.t.Helper()
	var all []T
	for _, r := range s.House.Journal.Records() {
		if r.Kind != kind {
			continue
		}
		body, err := ledger.Decode[T](r)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, *body)
	}
	return all
}

// A trickyJournal can be held up, and can fail.
type trickyJournal struct {
	inner   *statetest.Journal
	held    chan struct{} // Append waits until it is closed; nil: it does not
	mu      sync.Mutex
	down    error
	entered atomic.Int64
	during  func() // called by Append before the record is made
}

// fail has Append fail from now on; nil: no longer.
func (j *trickyJournal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down = err
}

func (j *trickyJournal) failing() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.down
}

func (j *trickyJournal) Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error) {
	j.entered.Add(1)
	if j.held != nil {
		<-j.held
	}
	if err := j.failing(); err != nil {
		return ledger.Record{}, err
	}
	if f := j.during; f != nil {
		j.during = nil
		f()
	}
	if err := ctx.Err(); err != nil {
		return ledger.Record{}, err
	}
	return j.inner.Append(ctx, kind, body)
}

func TestDecide(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		v := s.decide(s.fits)
		if !v.Allow || v.Basis != attest.FitEnvironment {
			t.Errorf("a patch that fits: %+v", v)
		}
		got := s.decided()
		if len(got) != 1 {
			t.Fatalf("%d decisions on record, want 1", len(got))
		}
		want := ledger.Decided{
			Decision: v.ID, Host: s.host, Repository: repo, Artifact: s.fits.PatchManifest, Allow: true,
			Basis: attest.FitEnvironment, Reasons: []ledger.Finding{}, Record: 1,
			Policy: s.State.Trust().Envelope(), Site: s.Site().Digest(), Epoch: s.State.Epoch(repo, s.fits.PatchManifest),
			Evidence: got[0].Evidence,
		}
		if d := cmp.Diff(want, got[0]); d != "" {
			t.Errorf("record (-want +got):\n%s", d)
		}
		if n := len(got[0].Evidence); n != len(s.fits.Said()) {
			t.Errorf("the record names %d statements, the decision stands on %d", n, len(s.fits.Said()))
		}
	})
}

func TestDeny(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		v := s.decide(s.other)
		if v.Allow || v.Reasons[0].Reason != verify.EnvMismatch {
			t.Errorf("a patch for another base: %+v, want a denial that ENV_MISMATCH leads", v)
		}
		got := s.decided()
		if len(got) != 1 || got[0].Allow || got[0].Decision != v.ID || len(got[0].Reasons) != len(v.Reasons) {
			t.Errorf("on record: %+v", got)
		}
	})
}

func TestNothingToDecideOn(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		for name, q := range map[string][3]string{
			"unknown host":       {"nobody", repo, string(s.fits.PatchManifest)},
			"unknown repository": {s.host, "other", string(s.fits.PatchManifest)},
			"unknown manifest":   {s.host, repo, string(attest.DigestOf(nil))},
			"no patch":           {"", "", ""},
		} {
			v, err := s.gate.Decide(t.Context(), q[0], q[1], attest.Digest(q[2]))
			if err != nil || v.Allow || v.ID != "" || v.Reasons[0].Reason != verify.NoAttestation {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
		}
		for _, d := range []attest.Digest{s.fits.BaseManifest, s.fits.EnvManifest, s.fits.Builder} {
			if v, err := s.gate.Decide(t.Context(), s.host, repo, d); err != nil || v.Allow {
				t.Errorf("%s is no patch: %+v, %v", d, v, err)
			}
		}
	})
}

// TestAge: an answer is used for 15 minutes and not a moment longer.
func TestAge(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		first := s.decide(s.fits)
		time.Sleep(gate.MaxAge - time.Nanosecond)
		if again := s.decide(s.fits); again.ID != first.ID {
			t.Error("another decision within 15 minutes, and nothing had changed")
		}
		time.Sleep(time.Nanosecond)
		next := s.decide(s.fits)
		if next.ID == first.ID || !next.Allow {
			t.Errorf("after 15 minutes: %+v, the first was %s", next, first.ID)
		}
		if n := len(s.decided()); n != 2 {
			t.Errorf("%d decisions on record, want 2", n)
		}
	})
}

// TestUses: later uses are counted, and the counts recorded once a minute.
func TestUses(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		allow, deny := s.decide(s.fits), s.decide(s.other)
		for range 10 {
			s.decide(s.fits)
		}
		s.decide(s.other)
		time.Sleep(gate.CountEvery - time.Nanosecond)
		synctest.Wait()
		if got := s.uses(); len(got) != 0 {
			t.Errorf("uses on record before a minute was over: %v", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want := []ledger.DecisionUses{{Decision: allow.ID, Uses: 10}, {Decision: deny.ID, Uses: 1}}
		got := s.uses()
		slices.SortFunc(got, func(a, b ledger.DecisionUses) int { return int(b.Uses - a.Uses) })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("uses (-want +got):\n%s", d)
		}
		time.Sleep(3 * gate.CountEvery)
		synctest.Wait()
		if n := len(s.uses()); n != 2 {
			t.Errorf("%d records of uses, and nobody used anything since the second", n)
		}
		s.decide(s.fits)
		s.journal.during = func() { s.decide(s.fits) } // while the count is recorded
		if err := s.gate.Close(); err != nil {
			t.Fatal(err)
		}
		if got := s.uses(); len(got) != 3 || got[2].Uses != 1 {
			t.Errorf("after closing: %v", got)
		}
		if err := s.gate.Close(); err != nil {
			t.Fatal(err)
		}
		if got := s.uses(); len(got) != 4 || got[3].Uses != 1 {
			t.Errorf("a use that came while others were recorded is lost: %v", got)
		}
	})
}

// TestUsesOfAReplacedAnswer: what was counted is recorded although the answer
// is not used any more, and what could not be recorded is counted on.
func TestUsesOfAReplacedAnswer(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		old := s.decide(s.fits)
		s.decide(s.fits)
		s.decide(s.fits)
		s.report(2)
		if v := s.decide(s.fits); v.ID == old.ID {
			t.Fatal("a new host record made no new decision")
		}
		s.journal.fail(errors.New("down"))
		time.Sleep(gate.CountEvery)
		synctest.Wait()
		s.journal.fail(nil)
		if got := s.uses(); len(got) != 0 {
			t.Fatalf("recorded while down: %v", got)
		}
		time.Sleep(gate.CountEvery)
		synctest.Wait()
		if d := cmp.Diff([]ledger.DecisionUses{{Decision: old.ID, Uses: 2}}, s.uses()); d != "" {
			t.Errorf("uses (-want +got):\n%s", d)
		}
	})
}

// TestJournalDown: an allow that cannot be recorded is none; a denial goes out.
func TestJournalDown(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.journal.fail(errors.New("no space left on device"))
		v, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest)
		if !errors.Is(err, gate.ErrNotRecorded) || v.Allow {
			t.Errorf("an allow while the journal is down: %+v, %v", v, err)
		}
		v, err = s.gate.Decide(t.Context(), s.host, repo, s.other.PatchManifest)
		if err != nil || v.Allow || v.ID != "" || len(v.Reasons) == 0 {
			t.Errorf("a denial while the journal is down: %+v, %v", v, err)
		}
		s.journal.fail(nil)
		if v := s.decide(s.fits); !v.Allow || v.ID == "" {
			t.Errorf("with the journal back: %+v", v)
		}
		if v := s.decide(s.other); v.ID == "" {
			t.Error("a denial with the journal back has no id")
		}
	})
}

// TestDownLater: what is on record may be used while the journal is down.
func TestDownLater(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		first := s.decide(s.fits)
		s.journal.fail(errors.New("down"))
		if v := s.decide(s.fits); v.ID != first.ID {
			t.Errorf("a recorded allow: %+v", v)
		}
		s.report(2)
		if _, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest); !errors.Is(err, gate.ErrNotRecorded) {
			t.Errorf("another decision: %v", err)
		}
		s.journal.fail(nil)
	})
}

// TestOneRecord: 100 first uses at once make one record, and none of them has
// an answer before it is durable.
func TestOneRecord(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		const n = 100
		s.journal.held = make(chan struct{})
		var out atomic.Int64
		ids := make([]string, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				v, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest)
				if err != nil || !v.Allow {
					t.Errorf("%+v, %v", v, err)
				}
				ids[i] = v.ID
				out.Add(1)
			})
		}
		synctest.Wait()
		if out.Load() != 0 || s.journal.entered.Load() != 1 {
			t.Errorf("%d answers and %d attempts to record before anything was durable, want 0 and 1", out.Load(), s.journal.entered.Load())
		}
		close(s.journal.held)
		all.Wait()
		got := s.decided()
		if len(got) != 1 {
			t.Fatalf("%d decisions on record, want 1", len(got))
		}
		for _, id := range ids {
			if id != got[0].Decision {
				t.Errorf("an answer under %q, on record is %q", id, got[0].Decision)
			}
		}
	})
}

// TestOneFailure: nobody who waited for a record that failed has an allow.
func TestOneFailure(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.journal.held = make(chan struct{})
		s.journal.fail(errors.New("down"))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if v, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest); !errors.Is(err, gate.ErrNotRecorded) {
					t.Errorf("%+v, %v", v, err)
				}
			})
		}
		synctest.Wait()
		close(s.journal.held)
		all.Wait()
		s.journal.fail(nil)
	})
}

// TestWhoAskedIsGone: others get the answer that someone began to record who
// then went away; whoever stops waiting gets none.
func TestWhoAskedIsGone(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.journal.held = make(chan struct{})
		gone, leave := context.WithCancel(t.Context())
		impatient, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = s.gate.Decide(gone, s.host, repo, s.fits.PatchManifest) })
		synctest.Wait()
		all.Go(func() {
			if v, err := s.gate.Decide(impatient, s.host, repo, s.fits.PatchManifest); !errors.Is(err, context.Canceled) || v.Allow {
				t.Errorf("stopped waiting: %+v, %v", v, err)
			}
		})
		all.Go(func() {
			if v, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest); err != nil || !v.Allow {
				t.Errorf("waited: %+v, %v", v, err)
			}
		})
		synctest.Wait()
		leave()
		stop()
		synctest.Wait()
		close(s.journal.held)
		all.Wait()
		if n := len(s.decided()); n != 1 {
			t.Errorf("%d decisions on record, want 1", n)
		}
	})
}

// TestRevokedWhileRecording: what is revoked between the decision and its
// record does not go out.
func TestRevokedWhileRecording(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.journal.during = func() { s.RevokeIt(attest.RevokeSubject, s.fits.PatchManifest) }
		v := s.decide(s.fits)
		if v.Allow || v.Reasons[0].Reason != verify.Revoked {
			t.Errorf("revoked while the allow was recorded: %+v", v)
		}
		got := s.decided()
		if len(got) != 2 || !got[0].Allow || got[1].Allow || got[1].Decision != v.ID {
			t.Errorf("on record: %+v", got)
		}
	})
}

// TestAlwaysChanging: where no allow stays one for as long as it takes to record
// it, there is none.
func TestAlwaysChanging(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		n := int64(1)
		var change func()
		change = func() {
			n++
			s.report(n)
			s.journal.during = change
		}
		s.journal.during = change
		if v, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest); !errors.Is(err, gate.ErrNotRecorded) {
			t.Errorf("%+v, %v", v, err)
		}
		s.journal.during = nil
	})
}

// TestAnotherDecision: one change at a time, each makes another decision.
func TestAnotherDecision(t *testing.T) {
	changes := map[string]struct {
		change func(s *scene)
		allow  bool
	}{
		"host record":  {func(s *scene) { s.report(2) }, true},
		"host state":   {func(s *scene) { s.SetState(s.host, state.Suspended) }, false},
		"revocation":   {func(s *scene) { s.RevokeIt(attest.RevokeEnvironment, s.fits.Patch.Environment) }, false},
		"trust policy": {func(s *scene) { s.trust(2) }, true},
		"evidence": {func(s *scene) {
			second := *s.fits.PatchBuild
			second.RunDetails.Metadata.InvocationID = "again"
			s.SayIt(verifytest.Said{Role: attest.RolePatch, Type: attest.TypeProvenance,
				About: verify.Artifact{Manifest: s.fits.PatchManifest, File: s.fits.Patch.File.Digest}, Predicate: &second})
		}, true},
		"another base": {func(s *scene) { s.Publish("third") }, true},
		"old record":   {func(s *scene) { time.Sleep(s.Site().MaxRecordAge + time.Second) }, false},
	}
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				first := s.decide(s.fits)
				c.change(s)
				next := s.decide(s.fits)
				if next.ID == first.ID || next.ID == "" || next.Allow != c.allow {
					t.Errorf("the decision is %+v, the first was %s", next, first.ID)
				}
			})
		})
	}
}

// trust has the server take a trust policy that says the same.
func (s *scene) trust(version int64) {
	p := s.TrustPolicy(s.Product)
	p.Version = version
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{s.Root.Public.Base64()}}
	s.Trust(p)
}

// TestTimeIsNoChange: a denial that tells how old the record is does not become
// another one every second.
func TestTimeIsNoChange(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		time.Sleep(s.Site().MaxRecordAge + time.Minute)
		first := s.decide(s.fits)
		time.Sleep(time.Minute)
		if again := s.decide(s.fits); first.Allow || again.ID != first.ID {
			t.Errorf("%+v, then %+v", first, again)
		}
	})
}

func TestEvaluateRecordsNothing(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		if !s.gate.Evaluate(s.host, repo, s.fits.PatchManifest).Allow || s.gate.Evaluate(s.host, repo, s.other.PatchManifest).Allow {
			t.Error("evaluation is not the decision")
		}
		if n := s.journal.entered.Load(); n != 0 {
			t.Errorf("%d records", n)
		}
	})
}

func TestIDs(t *testing.T) {
	form := regexp.MustCompile(`^d-[0-9A-HJKMNP-TV-Z]{26}$`)
	play(t, func(t *testing.T, s *scene) {
		var ids []string
		for i := range 20 {
			s.report(int64(i + 2))
			ids = append(ids, s.decide(s.fits).ID)
			time.Sleep(time.Millisecond)
		}
		for _, id := range ids {
			if !form.MatchString(id) {
				t.Errorf("id %q is not d- and 26 characters of Crockford's base 32", id)
			}
		}
		if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("ids are not one for each, in order of time: %v", ids)
		}
	})
}

// TestForgets: answers nobody asks for any more do not stay in memory.
func TestForgets(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		for i := range 5 {
			host, key := s.Enrol(fmt.Sprint("host ", i))
			s.Record(host, key, 1, s.fits)
			if _, err := s.gate.Decide(t.Context(), host, repo, s.fits.PatchManifest); err != nil {
				t.Fatal(err)
			}
		}
		if n := gate.Remembered(s.gate); n != 5 {
			t.Fatalf("%d answers in memory, want 5", n)
		}
		time.Sleep(gate.MaxAge + gate.CountEvery)
		synctest.Wait()
		if n := gate.Remembered(s.gate); n != 0 {
			t.Errorf("%d answers in memory after they are over", n)
		}
	})
}
