package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"iter"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/ledger/journal"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tsa"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/control"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/web"
)

// A testServer is a whole server in this process: log, timestamps, journal,
// registry, gate, API and index.
type testServer struct {
	url         string
	adminToken  string
	trustedRoot []byte

	dir           string
	journalPublic *attest.PublicKey

	state   *state.State
	store   *store.Store
	journal *journal.Journal
	index   *index.Index
	// fault, if set, may answer a request in the server's place, before or
	// after the server did.
	fault atomic.Pointer[faulty]
}

// A faulty breaks the requests it counts to.
type faulty struct {
	seen  atomic.Int64
	which int64 // which request; 0: none
	after bool  // the server does it, and its answer is lost
}

func (s *testServer) Records(from int64) iter.Seq2[ledger.Record, error] {
	return s.journal.Records(from)
}
func (s *testServer) Blob(d attest.Digest) ([]byte, error) { return s.store.Get(d) }
func (s *testServer) Statement(bundle attest.Digest) (index.Statement, error) {
	return s.state.Statement(bundle)
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// must fails the test on an error.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newServer(t *testing.T) *testServer {
	t.Helper()
	dir := t.TempDir()
	s := &testServer{store: must(store.Open(filepath.Join(dir, "store")))(t)}
	s.state = state.New(s.store, policy.DefaultSite())
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	journalKey := ecKey(t)
	journalPublic := must(attest.NewPublicKey(journalKey.Public()))(t)
	s.journalPublic, s.dir = journalPublic, dir
	log := must(tlog.Open(t.Context(), filepath.Join(dir, "log"), "log.test", logKey, &tlog.Options{
		Allowed:   func(k attest.Digest) bool { return k == journalPublic.ID() || s.state.KnownSigner(k) },
		Certified: func(c *attest.Certificate) error { return s.state.Certified(c, time.Now()) },
	}))(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := log.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	signer := must(signature.LoadSigner(journalKey, crypto.SHA256))(t)
	s.journal = must(journal.Open(filepath.Join(dir, "journal"), s.store, signer, tlog.Segments{Log: log}, s.state.Apply, nil))(t)
	t.Cleanup(func() { closing(t, s.journal.Close) })
	s.state.SetReady()
	s.index = must(index.Open(filepath.Join(dir, "index.db")))(t)
	t.Cleanup(func() { closing(t, s.index.Close) })
	tsaKey := ecKey(t)
	chain := must(tsa.NewChain(tsaKey))(t)
	s.trustedRoot = must(ledger.TrustedRoot([]ledger.LogKey{{Origin: "log.test", Key: logKey.Public(), Start: time.Now().Add(-time.Hour)}}, chain))(t)
	s.serve(t, dir, log, tsaKey, chain)
	s.firstAdmin(t)
	return s
}

func closing(t *testing.T, f func() error) {
	t.Helper()
	if err := f(); err != nil {
		t.Error(err)
	}
}

var pepper = []byte("0123456789abcdef0123456789abcdef")

func (s *testServer) serve(t *testing.T, dir string, log http.Handler, tsaKey crypto.Signer, chain []*x509.Certificate) {
	t.Helper()
	h := httptest.NewUnstartedServer(nil)
	s.url = "http://" + h.Listener.Addr().String()
	who := must(auth.New(auth.Config{URL: s.url, Signer: ecKey(t), Pepper: pepper, Directory: s.state}, nil))(t)
	g := gate.New(s.state, s.journal, nil)
	disk := must(content.OpenDisk(filepath.Join(dir, "registry")))(t)
	oci := must(registry.New(registry.Config{
		Content: content.New(disk, nil), State: s.state, Gate: g, Admit: admit.New(s.state), Store: s.store, Journal: s.journal,
	}))(t)
	api := control.New(control.Config{
		URL: s.url, Pepper: pepper, State: s.state, Store: s.store, Journal: s.journal, Auth: who,
		Audit: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := s.index.CatchUp(r.Context(), s); err != nil {
				t.Error(err)
			}
			web.New(s.index, &web.Options{Ledger: s}).ServeHTTP(w, r)
		}),
	}, nil)
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	r.PathPrefix("/v2").Handler(who.Required(oci))
	r.Handle("/token", who.TokenHandler())
	r.PathPrefix("/v1/").Handler(api)
	r.Handle(ledger.TimestampsPath, must(tsa.New(tsaKey, chain))(t))
	r.PathPrefix(ledger.ReadPath).Handler(log)
	h.Config.Handler = s.breaking(r)
	h.Start()
	t.Cleanup(func() {
		h.Close()
		closing(t, oci.Close)
		closing(t, g.Close)
	})
}

// breaking lets a test break one request, before or after it took effect.
func (s *testServer) breaking(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.fault.Load()
		if f == nil || f.seen.Add(1) != f.which {
			next.ServeHTTP(w, r)
			return
		}
		if f.after {
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		http.Error(w, "broken by the test", http.StatusInternalServerError)
	})
}

func (s *testServer) firstAdmin(t *testing.T) {
	t.Helper()
	s.adminToken = "pfa_" + rand.Text()
	id := uuid.NewString()
	facts := []struct {
		kind ledger.Kind
		body any
	}{
		{ledger.KindPrincipal, ledger.PrincipalAdded{Principal: id, Name: "admin", TokenMAC: auth.TokenMAC(pepper, s.adminToken), By: id}},
		{ledger.KindGrant, ledger.Granted{Principal: id, Product: "*", Role: "admin", By: id}},
	}
	for _, f := range facts {
		if _, err := s.journal.Append(t.Context(), f.kind, f.body); err != nil {
			t.Fatal(err)
		}
	}
}

// ask sends a request past the client of this program, reads a good answer's
// JSON into v where there is one, and returns the status.
func ask(t *testing.T, req *http.Request, v any) int {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if v != nil && resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode
}

// tag makes a tag name a manifest, as pushing it does.
func (s *testServer) tag(t *testing.T, tag string, d attest.Digest) {
	t.Helper()
	if _, err := s.journal.Append(t.Context(), ledger.KindTag, ledger.TagMoved{Repository: repository, Tag: tag, Digest: d}); err != nil {
		t.Fatal(err)
	}
}
