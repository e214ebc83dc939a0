package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

func TestMain(m *testing.M) {
	// Agents live in real time, and so have the trust policies and timestamps
	// they read.
	verifytest.Epoch = time.Now().UTC().Truncate(time.Second)
	os.Exit(m.Run())
}

// A machine is a host under test: a state directory and a place for patches.
type machine struct {
	t      *testing.T
	server *server
	state  string
	out    string
}

func newMachine(s *server) *machine {
	return &machine{t: s.t, server: s, state: filepath.Join(s.t.TempDir(), "state"), out: s.t.TempDir()}
}

// enrolled returns a machine that is enrolled and has recorded what it runs.
func enrolled(t *testing.T) *machine {
	t.Helper()
	m := newMachine(newServer(t))
	if _, err := m.enroll(); err != nil {
		t.Fatal(err)
	}
	if err := m.record(); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) enroll() (*Identity, error) {
	m.t.Helper()
	return Enroll(m.t.Context(), m.state, Enrolment{Token: m.server.token.String(), Name: "web-17"}, nil)
}

// with opens the agent, as a new process would, and closes it after use.
func (m *machine) with(use func(a *Agent) error) error {
	m.t.Helper()
	a, err := Open(m.t.Context(), m.state, nil)
	if err != nil {
		return err
	}
	return errors.Join(use(a), a.Close())
}

// does is with, where nothing may fail.
func (m *machine) does(use func(a *Agent) error) {
	m.t.Helper()
	if err := m.with(use); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) record() error {
	m.t.Helper()
	return m.with(func(a *Agent) error {
		b, err := a.Base(repository, m.server.basePath())
		if err != nil {
			return err
		}
		_, err = a.Record(m.t.Context(), []Base{b})
		return err
	})
}

func (m *machine) file() string { return filepath.Join(m.out, "greet.patch") }

// pull pulls by tag.
func (m *machine) pull() (p *Pulled, err error) {
	m.t.Helper()
	err = m.with(func(a *Agent) error {
		ref, err := a.ParseReference(repository + ":v1")
		if err != nil {
			return err
		}
		p, err = a.Pull(m.t.Context(), ref, m.file())
		return err
	})
	return p, err
}

// reasonOf returns the reason an error carries.
func reasonOf(err error) verify.Reason {
	if d := (*Denied)(nil); errors.As(err, &d) {
		return d.Reason()
	}
	if r := (*verify.Refusal)(nil); errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

// refused checks that a pull is refused for that reason and leaves nothing.
func (m *machine) refused(want verify.Reason) {
	m.t.Helper()
	_, err := m.pull()
	if got := reasonOf(err); got != want {
		m.t.Errorf("pull: %v; want reason %s", err, want)
	}
	m.nothingKept()
}

func (m *machine) nothingKept() {
	m.t.Helper()
	entries, err := os.ReadDir(m.out)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		m.t.Errorf("the refused pull left %s behind", e.Name())
	}
}
