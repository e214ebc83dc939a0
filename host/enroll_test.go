package host

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

func TestEnroll(t *testing.T) {
	m := newMachine(newServer(t))
	id, err := m.enroll()
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadIdentity(m.state)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(id, read); diff != "" {
		t.Error(diff)
	}
	if id.Host != m.server.host || id.Server != m.server.http.URL || id.TLSKey != m.server.tlsKey() || id.Roots != m.server.roots() {
		t.Errorf("enrolled as %+v", id)
	}
	for _, name := range []string{identityFile, keyFile, policyFile} {
		if info, err := os.Stat(filepath.Join(m.state, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", name, info.Mode(), err)
		}
	}
	if info, err := os.Stat(m.state); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state directory: mode %v, %v; want 0700", info.Mode(), err)
	}
	if _, err := m.enroll(); !errors.Is(err, ErrEnrolled) {
		t.Errorf("enrolling twice: %v, want ErrEnrolled", err)
	}
}

// Nothing is sent to a server that is not the one the token means.
func TestEnrollWithTheWrongServer(t *testing.T) {
	for name, tc := range map[string]struct {
		lie  func(s *server)
		want verify.Reason
		text string
	}{
		"another TLS key":                 {func(s *server) { s.token.TLSKey = attest.DigestOf(nil).Hex() }, "", "TLS key"},
		"no TLS pin and a key of its own": {func(s *server) { s.token.TLSKey = "" }, "", "certificate"},
		"roots of another policy":         {func(s *server) { s.token.Roots = attest.DigestOf(nil) }, verify.UntrustedSigner, ""},
		"policy of other roots":           {func(s *server) { s.signPolicy(1, s.authority.Stranger()) }, verify.UntrustedSigner, ""},
		"policy its roots did not sign": {func(s *server) {
			e, err := attest.ParseEnvelope(s.policy, attest.PolicyPayload)
			if err != nil {
				s.t.Fatal(err)
			}
			if s.policy, err = attest.SignEnvelope(attest.PolicyPayload, e.Payload, s.authority.Stranger()); err != nil {
				s.t.Fatal(err)
			}
		}, verify.BadSignature, ""},
		"no policy": {func(s *server) { s.policy = []byte("{}") }, verify.Corrupt, ""},
		"expired policy": {func(s *server) {
			s.policyOf(func(p *attest.TrustPolicy) { p.Expires = p.Expires.AddDate(-2, 0, 0) }, s.root)
		}, verify.Expired, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(newServer(t))
			tc.lie(m.server)
			_, err := m.enroll()
			if err == nil || reasonOf(err) != tc.want || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v; want reason %q, %q", err, tc.want, tc.text)
			}
			if m.server.used {
				t.Error("the token was sent all the same")
			}
			if _, err := ReadIdentity(m.state); !errors.Is(err, ErrNotEnrolled) {
				t.Errorf("the machine is enrolled: %v", err)
			}
		})
	}
}

// After enrolment the pinned key is all that counts.
func TestPullWithTheWrongTLSKey(t *testing.T) {
	m := enrolled(t)
	path := filepath.Join(m.state, identityFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(b), m.server.tlsKey(), attest.DigestOf(nil).Hex(), 1)
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.pull(); err == nil || !strings.Contains(err.Error(), "someone is in between") {
		t.Errorf("%v, want that the server's key is another one", err)
	}
	m.nothingKept()
}

// A failed enrolment can be tried again, with the same key.
func TestEnrollAgainAfterAFailure(t *testing.T) {
	m := newMachine(newServer(t))
	m.server.before = func(w http.ResponseWriter, path string) bool {
		if path != "/v1/enrol" {
			return false
		}
		api.WriteError(w, api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "not now"))
		return true
	}
	var e *api.Error
	if _, err := m.enroll(); !errors.As(err, &e) || e.Code != api.CodeUnavailable {
		t.Fatalf("%v, want the server's answer", err)
	}
	key, err := os.ReadFile(KeyFile(m.state))
	if err != nil {
		t.Fatal(err)
	}
	m.server.before = nil
	if _, err := m.enroll(); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(KeyFile(m.state)); err != nil || string(again) != string(key) {
		t.Errorf("the key was replaced (%v)", err)
	}
}

func TestEnrollRefusesTokens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for _, token := range []string{"", "pfe1.", "pfe1.e30", "pfe2.e30", strings.Repeat("a", 5000)} {
		if _, err := Enroll(t.Context(), dir, Enrolment{Token: token}, nil); err == nil {
			t.Errorf("token %.20q is taken", token)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused token left a state directory: %v", err)
	}
}

func TestKeyThatOthersCanRead(t *testing.T) {
	m := enrolled(t)
	if err := os.Chmod(KeyFile(m.state), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := m.pull(); err == nil || !strings.Contains(err.Error(), "can be read by others (mode 0640)") {
		t.Errorf("%v, want that the key file is refused", err)
	}
	if err := os.Chmod(KeyFile(m.state), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.state, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := m.pull(); err == nil || !strings.Contains(err.Error(), "open to others (mode 0750)") {
		t.Errorf("%v, want that the state directory is refused", err)
	}
	m.nothingKept()
}

func TestOpenNotEnrolled(t *testing.T) {
	for _, dir := range []string{filepath.Join(t.TempDir(), "none"), private(t)} {
		if _, err := Open(t.Context(), dir, nil); !errors.Is(err, ErrNotEnrolled) {
			t.Errorf("%v, want ErrNotEnrolled", err)
		}
	}
}

func private(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Two agents never write the same state.
func TestOpenWaitsForTheOther(t *testing.T) {
	m := enrolled(t)
	a, err := Open(t.Context(), m.state, nil)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(over, m.state, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the directory is in use", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := Open(t.Context(), m.state, nil); err != nil {
		t.Error(err)
	} else if err := b.Close(); err != nil {
		t.Error(err)
	}
}
