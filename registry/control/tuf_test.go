package control

import (
	"bytes"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// newTUF makes a repository with the next trust policy, which names it.
func (s *scene) newTUF() *tuftest.Repository {
	s.t.Helper()
	r := tuftest.New(s.t, time.Now())
	r.Release(s.naming(r, 2))
	return r
}

// naming is a trust policy of a version that names r.
func (s *scene) naming(r *tuftest.Repository, version int64) []byte {
	s.t.Helper()
	p := s.TrustPolicy(s.Product)
	p.Version, p.TUF = version, r.Pin()
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{s.Root.Public.Base64()}}
	return s.SignPolicy(p, s.Root)
}

func wire(o tuf.Offer) api.TUFOffer {
	out := api.TUFOffer{Roots: []string{}, Targets: string(o.Targets), Snapshot: string(o.Snapshot), Files: map[string]string{}}
	for _, b := range o.Roots {
		out.Roots = append(out.Roots, string(b))
	}
	for name, b := range o.Files {
		out.Files[name] = string(b)
	}
	return out
}

// again returns the state a new start makes of the journal.
func (s *scene) again() (*state.State, error) {
	st := state.New(s.Blobs, s.Site())
	for _, r := range s.Journal.Records() {
		if err := st.Apply(r); err != nil {
			return nil, err
		}
	}
	return st, st.SetReady()
}

// A repository is taken with the trust policy in it, whole, and is there after
// a restart; what it had before stays.
func TestTUFIsTaken(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		r := s.newTUF()
		first := r.Served()
		got, err := s.admin.PushTUF(ctx(), wire(r.Offer()))
		if want := (api.TUFAccepted{SchemaVersion: 1, Root: 1, Targets: 1, Snapshot: 1, Policy: 2}); err != nil || *got != want {
			t.Fatalf("%+v, %v", got, err)
		}
		if p, _ := s.State.TrustPolicy(); p.Version != 2 {
			t.Errorf("trust policy version %d is in effect", p.Version)
		}
		before := len(s.Journal.Records())
		if _, err := s.admin.PushTUF(ctx(), wire(r.Offer())); err != nil || len(s.Journal.Records()) != before {
			t.Errorf("the same again: %v", err)
		}
		r.Rotate()
		r.Release(s.naming(r, 3))
		o := r.Offer()
		o.Roots = o.Roots[1:]
		if got, err := s.admin.PushTUF(ctx(), wire(o)); err != nil || got.Root != 2 || got.Policy != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		st, err := s.again()
		if err != nil {
			t.Fatal(err)
		}
		_, paths := st.TUF()
		if _, now := s.State.TUF(); !maps.Equal(now, paths) {
			t.Error("a restart serves something else")
		}
		for path, b := range first {
			if path != "timestamp.json" && paths[path] != attest.DigestOf(b) {
				t.Errorf("%s of the first state is gone", path)
			}
		}
		_, err = s.admin.PushTrustPolicy(ctx(), s.naming(r, 4))
		wantError(t, "a policy beside the repository", err, 409, api.CodeConflict)
	})
}

// A repository whose root keys are lost is left by a policy that comes by it
// and names none; then another may begin, by the next policy.
func TestTUFIsLeftAndBegunAnew(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		old := s.newTUF()
		if _, err := s.admin.PushTUF(ctx(), wire(old.Offer())); err != nil {
			t.Fatal(err)
		}
		next := tuftest.New(t, time.Now())
		next.Release(s.naming(next, 3))
		_, err := s.admin.PushTUF(ctx(), wire(next.Offer()))
		wantError(t, "another one, with nobody having left the first", err, 400, api.CodeInvalid)

		old.Rotate() // 2.root.json, which the next one does not have
		old.Release(s.Policy(3, s.Product))
		if _, err := s.admin.PushTUF(ctx(), wire(old.Offer())); err != nil {
			t.Fatal(err)
		}
		if r, _ := s.State.TUF(); r == nil {
			t.Error("hosts that come late do not find the policy that lets them go")
		}
		if _, err := s.admin.PushTrustPolicy(ctx(), s.Policy(4, s.Product)); err != nil {
			t.Error(err)
		}
		next.Release(s.naming(next, 5))
		if got, err := s.admin.PushTUF(ctx(), wire(next.Offer())); err != nil || got.Root != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		st, err := s.again()
		if err != nil {
			t.Fatal(err)
		}
		if _, paths := st.TUF(); paths["1.root.json"] != next.Pin().Root || paths["2.root.json"] != "" {
			t.Error("roots of the repository before are served")
		}
	})
}

// A crash after the policy's record leaves a policy in effect and no new
// repository; the same request does the rest.
func TestTUFAfterACrashInBetween(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		r := s.newTUF()
		envelope := r.Offer().Files[tuf.TrustPolicy]
		s.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: s.Put(envelope), By: s.Admin})
		if got, err := s.admin.PushTUF(ctx(), wire(r.Offer())); err != nil || got.Policy != 2 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// What is not good is refused before anything of it is stored.
func TestTUFIsRefused(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		r := s.newTUF()
		before := len(s.Journal.Records())
		refuse := func(name string, o tuf.Offer) {
			t.Helper()
			_, err := s.admin.PushTUF(ctx(), wire(o))
			wantError(t, name, err, 400, api.CodeInvalid)
		}
		good := r.Offer()
		s.noTimestamps = errors.New("not our key")
		refuse("timestamps this server cannot sign", good)
		s.noTimestamps = nil
		o := good
		o.Targets = bytes.Replace(o.Targets, []byte(`"version":1`), []byte(`"version":2`), 1)
		refuse("targets that were changed", o)
		r.ReleaseAs(2, good.Files, time.Now().Add(-time.Hour))
		refuse("targets that are over", r.Offer())
		r.Release(s.SignPolicy(s.TrustPolicy(s.Product), statetest.NewKey(t)))
		refuse("a policy nobody signed", r.Offer())
		id, key := s.Principal("auditor", state.RoleAuditor)
		_, err := s.as(id, key).PushTUF(ctx(), wire(good))
		wantError(t, "an auditor", err, 403, api.CodeForbidden)
		if n := len(s.Journal.Records()); n != before+2 { // the auditor
			t.Errorf("%d records were written", n-before)
		}
		if got, _ := s.State.TUF(); got != nil {
			t.Error("there is a repository")
		}
	})
}

// Whoever can write to the store substitutes nothing: the server does not start.
func TestTUFInTheStoreIsVerifiedAgain(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		r := s.newTUF()
		if _, err := s.admin.PushTUF(ctx(), wire(r.Offer())); err != nil {
			t.Fatal(err)
		}
		r.Keys[tuf.RoleTargets] = &tuftest.Role{Keys: r.Keys[tuf.RoleTimestamp].Keys, Threshold: 1}
		honest := r.Offer()
		r.ReleaseAs(1, honest.Files, time.Now().AddDate(9, 0, 0))
		s.Blobs.Damage(attest.DigestOf(honest.Targets), r.Offer().Targets)
		if _, err := s.again(); err == nil {
			t.Error("the server starts with targets that its own key signed")
		}
	})
}
