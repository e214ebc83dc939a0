package host

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/verify"
)

// withTUF gives a server a TUF repository that its trust policy names.
func (s *server) withTUF() *tuftest.Repository {
	s.t.Helper()
	r := tuftest.New(s.t, time.Now())
	s.releasePolicy(r, 2)
	s.before = func(w http.ResponseWriter, path string) bool {
		name, ok := strings.CutPrefix(path, "/tuf/")
		if !ok {
			return false
		}
		b, ok := r.Served()[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		w.Write(b)
		return true
	}
	return r
}

// releasePolicy puts a trust policy of a version that names r into r.
func (s *server) releasePolicy(r *tuftest.Repository, version int64) {
	s.t.Helper()
	s.policyOf(func(p *attest.TrustPolicy) { p.Version, p.TUF = version, r.Pin() }, s.root)
	r.Release(s.policy)
}

func (m *machine) pulls() {
	m.t.Helper()
	if _, err := m.pull(); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Remove(m.file()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) trust() (t TrustStatus) {
	m.t.Helper()
	m.does(func(a *Agent) error {
		s, err := a.Status()
		if err == nil {
			t = s.Trust
		}
		return err
	})
	return t
}

// A host that enrolled before there was a repository comes over with the first
// policy that names one, and then asks for policies nowhere else.
func TestTUFComesWithThePolicy(t *testing.T) {
	m := enrolled(t)
	if s := m.trust(); s.Named || s.Stale(time.Now().AddDate(9, 0, 0)) {
		t.Errorf("before there is a repository: %+v", s)
	}
	r := m.server.withTUF()
	m.pulls()
	if s := m.trust(); !s.Named || s.Root != 1 || s.Targets != 1 || s.Stale(time.Now()) || !s.Stale(time.Now().AddDate(0, 0, 2)) {
		t.Errorf("%+v", s)
	}
	m.server.signPolicy(9, m.server.root) // what the server says by itself counts no more
	m.pulls()
	if got := m.policyVersion(); got != 2 {
		t.Errorf("trust policy version %d, want that of the repository, 2", got)
	}
	m.server.releasePolicy(r, 3)
	m.pulls()
	if got := m.policyVersion(); got != 3 {
		t.Errorf("trust policy version %d, want 3", got)
	}
}

func TestEnrollByTUF(t *testing.T) {
	s := newServer(t)
	s.withTUF()
	m := newMachine(s)
	if _, err := m.enroll(); err != nil {
		t.Fatal(err)
	}
	if trust := m.trust(); trust.Targets != 1 {
		t.Errorf("%+v", trust)
	}
	if info, err := os.Stat(filepath.Join(m.state, tufFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Nothing is sent to a server whose repository is not the one that is meant.
func TestEnrollRefusesAnotherTUFRoot(t *testing.T) {
	s := newServer(t)
	r := s.withTUF()
	evil := tuftest.New(t, time.Now())
	evil.Release(s.policy)
	r.Restore(evil.Served())
	m := newMachine(s)
	if _, err := m.enroll(); reasonOf(err) != verify.UntrustedSigner {
		t.Errorf("%v", err)
	}
	if s.used {
		t.Error("the token was sent")
	}
}

// Each attack on the repository denies, with its reason, and changes no trust.
func TestTUFAttacks(t *testing.T) {
	for name, test := range map[string]struct {
		want   verify.Reason
		attack func(s *server, r *tuftest.Repository)
	}{
		"freeze: the timestamp is over":       {verify.Expired, func(_ *server, r *tuftest.Repository) { r.Stamp(50, time.Now().Add(-time.Minute)) }},
		"withholding the whole repository":    {verify.Expired, func(_ *server, r *tuftest.Repository) { r.Restore(nil) }},
		"targets by the server's key":         {verify.BadSignature, func(s *server, r *tuftest.Repository) { s.forge(r, tuf.RoleTargets) }},
		"snapshot by the server's key":        {verify.BadSignature, func(s *server, r *tuftest.Repository) { s.forge(r, tuf.RoleSnapshot) }},
		"an older snapshot, stamped anew":     {verify.Rollback, func(s *server, r *tuftest.Repository) { r.ReleaseAs(1, r.Files(s.policy), r.Now.AddDate(0, 1, 0)) }},
		"a policy of another hash":            {verify.Corrupt, func(s *server, r *tuftest.Repository) { s.swapPolicy(r) }},
		"an older policy in newer targets":    {verify.Rollback, func(s *server, r *tuftest.Repository) { s.releasePolicy(r, 1) }},
		"a policy its own roots did not sign": {verify.BadSignature, func(s *server, r *tuftest.Repository) { s.signPolicy(7, s.authority.Stranger()); r.Release(s.policy) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(newServer(t))
			r := m.server.withTUF()
			m.server.releasePolicy(r, 3)
			if _, err := m.enroll(); err != nil {
				t.Fatal(err)
			}
			if err := m.record(); err != nil {
				t.Fatal(err)
			}
			test.attack(m.server, r)
			m.refused(test.want)
			if got := m.policyVersion(); got != 3 {
				t.Errorf("trust policy version %d, want 3", got)
			}
		})
	}
}

// forge releases a policy whose role's metadata the server's key signs.
func (s *server) forge(r *tuftest.Repository, role string) {
	r.Keys[role] = &tuftest.Role{Keys: r.Keys[tuf.RoleTimestamp].Keys, Threshold: 1}
	s.releasePolicy(r, 4)
}

func (s *server) swapPolicy(r *tuftest.Repository) {
	s.releasePolicy(r, 4)
	at := tuf.PathOf(tuf.TrustPolicy, s.policy)
	s.signPolicy(5, s.root)
	r.Serve(at, s.policy)
}

// A policy that came by the old repository may name another one.
func TestTUFRepositoryIsReplaced(t *testing.T) {
	m := enrolled(t)
	old := m.server.withTUF()
	m.pulls()
	next := tuftest.New(t, time.Now())
	next.Rotate()
	m.server.policyOf(func(p *attest.TrustPolicy) { p.Version, p.TUF = 3, next.Pin() }, m.server.root)
	old.Release(m.server.policy)
	next.Release(m.server.policy)
	oldServed := old.Served()
	m.refused(verify.Expired) // the other repository is not there yet
	old.Restore(next.Served())
	m.pulls()
	if s := m.trust(); s.Root != 2 {
		t.Errorf("%+v", s)
	}
	old.Restore(oldServed)
	m.refused(verify.BadSignature)
}

// A server that withheld the repository and gives it again is believed again.
func TestTUFAfterWithholding(t *testing.T) {
	m := enrolled(t)
	r := m.server.withTUF()
	m.pulls()
	honest := r.Served()
	r.Restore(nil)
	m.refused(verify.Expired)
	r.Restore(honest)
	m.pulls()
}

// What an update left that a crash cut short is gone after the next one.
func TestTUFLeftoversAreSwept(t *testing.T) {
	m := enrolled(t)
	m.server.withTUF()
	left := filepath.Join(m.state, ".tuf-1.partial")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	m.pulls()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func TestChangedTUFStateIsRefused(t *testing.T) {
	m := enrolled(t)
	m.server.withTUF()
	m.pulls()
	path := filepath.Join(m.state, tufFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"cut": whole[:len(whole)/2], "empty": nil, "added to": append(whole[:len(whole):len(whole)], "{}"...)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := m.pull(); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
