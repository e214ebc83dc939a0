package shell

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A trusted is a server with a trust policy and a TUF repository, and somebody
// who pinned the policy's roots at login.
type trusted struct {
	*tuftest.Repository
	t         *testing.T
	authority *verifytest.Authority
	root      *verifytest.Signer
	policy    []byte // what the server says by itself
	session   *Session
}

func newTrusted(t *testing.T) *trusted {
	t.Setenv(config.EnvDir, t.TempDir())
	w := &trusted{Repository: tuftest.New(t, time.Now()), t: t, authority: verifytest.New(t)}
	w.root = w.authority.Stranger()
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	c, err := api.New(s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.roots().Digest()
	if err != nil {
		t.Fatal(err)
	}
	w.session = &Session{Client: c, Server: config.Server{URL: s.URL, Roots: d}}
	return w
}

func (w *trusted) roots() attest.Roots {
	return attest.Roots{Threshold: 1, Keys: []string{w.root.Key.Base64()}}
}

func (w *trusted) sign(version int64, pin attest.TUFRoot) []byte {
	w.t.Helper()
	p := w.authority.TrustPolicy(w.authority.Product("lib/greet"))
	p.Version, p.TUF, p.Roots, p.Expires = version, pin, w.roots(), time.Now().UTC().Truncate(time.Second).AddDate(1, 0, 0)
	b, err := strictjson.Canonical(p)
	if err != nil {
		w.t.Fatal(err)
	}
	if b, err = attest.SignEnvelope(attest.PolicyPayload, b, w.root); err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *trusted) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/trust-policy" {
		rw.Write(w.policy)
		return
	}
	b, ok := w.Served()[strings.TrimPrefix(r.URL.Path, "/tuf/")]
	if !ok {
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	rw.Write(b)
}

func (w *trusted) version(want int64) {
	w.t.Helper()
	p, err := w.session.PinnedPolicy(w.t.Context())
	if err != nil || p.Version != want {
		w.t.Fatalf("%v, %v; want version %d", p, err, want)
	}
}

func (w *trusted) refused(why string) {
	w.t.Helper()
	_, err := w.session.PinnedPolicy(w.t.Context())
	if code, _ := exit.Judge(err, nil); err == nil || code != exit.Unproven || !strings.Contains(err.Error(), why) {
		w.t.Errorf("%v with code %d, want %q", err, code, why)
	}
}

// A person's programs follow the repository, and never go back on what they saw.
func TestPinnedPolicyByTUF(t *testing.T) {
	w := newTrusted(t)
	w.policy = w.sign(1, attest.TUFRoot{})
	w.version(1)
	if have, err := w.session.TUF(); have != nil || err != nil {
		t.Errorf("%v, %v", have, err)
	}
	w.policy = w.sign(2, w.Pin())
	w.refused("no TUF repository")
	w.Release(w.policy)
	old := w.Served()
	w.version(2)
	w.Release(w.sign(3, w.Pin()))
	w.version(3)
	newest := w.Served()

	w.Restore(old)
	w.refused("older")
	w.policy = w.sign(4, attest.TUFRoot{}) // as if there were none
	w.refused("older")
	w.Restore(newest)
	w.version(3)
	w.Stamp(9, time.Now().Add(-time.Minute))
	w.refused("expired")

	w.Stamp(10, time.Now().Add(time.Hour))
	w.ReleaseAs(3, w.Files(w.sign(5, attest.TUFRoot{})), time.Now().AddDate(0, 1, 0)) // by the repository itself
	w.version(5)
	w.policy = w.sign(6, attest.TUFRoot{})
	w.version(6)
}

func TestTUFStateThatWasChanged(t *testing.T) {
	w := newTrusted(t)
	w.policy = w.sign(2, w.Pin())
	w.Release(w.policy)
	w.version(2)
	path, err := w.session.tufPath()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.session.PinnedPolicy(t.Context()); err == nil {
		t.Error("it is taken")
	}
}
