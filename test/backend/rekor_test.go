package backend

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"

	"github.com/patchfit/patchfit/internal/daemontest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/rekorv2"
	"github.com/patchfit/patchfit/ledger/tlog/tlogtest"
)

// A rekor is an unmodified Rekor v2, and before it, as its operators are told to
// have, a web server that shows the files of its log.
type rekor struct {
	t      testing.TB
	dir    string // of its files
	key    ed25519.PrivateKey
	server *daemontest.Daemon
	front  *httptest.Server
	mirror string
	post   http.Handler

	stalled, away, deaf atomic.Bool // deaf: what it answers is lost
}

func newRekor(t testing.TB, flags ...string) *rekor {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	r := &rekor{t: t, key: key, dir: filepath.Join(t.TempDir(), "log"), mirror: filepath.Join(t.TempDir(), "mirror")}
	signer := filepath.Join(t.TempDir(), "signer.pem")
	if err := errors.Join(os.Mkdir(r.dir, 0o700), os.WriteFile(signer, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)); err != nil {
		t.Fatal(err)
	}
	var ports [3]string
	var addr string
	for i := range ports {
		if addr, err = daemontest.FreePort(); err != nil {
			t.Fatal(err)
		}
		_, ports[i], _ = net.SplitHostPort(addr)
	}
	api := "127.0.0.1:" + ports[0]
	r.server = &daemontest.Daemon{
		Command: append([]string{
			built(t, "rekor-server-posix"), "serve", "--hostname", origin, "--storage-dir", r.dir, "--signer-filepath", signer, "--log-level", "error",
			"--http-port", ports[0], "--grpc-port", ports[1], "--http-metrics-port", ports[2], "--checkpoint-interval", "100ms", "--batch-max-age", "20ms",
		}, flags...),
		Addr: api,
		Ready: func() error {
			resp, err := http.Get("http://" + api + "/healthz")
			if err != nil {
				return err
			}
			return resp.Body.Close()
		},
	}
	if err := r.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.server.Stop)
	r.post = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: api})
	r.front = httptest.NewServer(r)
	t.Cleanup(r.front.Close)
	return r
}

func (r *rekor) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.away.Load() {
		panic(http.ErrAbortHandler)
	}
	if req.Method != http.MethodPost {
		http.ServeFile(w, req, filepath.Join(r.dir, strings.TrimPrefix(req.URL.Path, ledger.ReadPath)))
		return
	}
	if r.stalled.Load() {
		_, _ = io.Copy(io.Discard, req.Body) // only then it shows that a client is gone
		<-req.Context().Done()
		return
	}
	if r.deaf.Load() {
		r.post.ServeHTTP(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	}
	r.post.ServeHTTP(w, req)
}

func (r *rekor) logKey() ledger.LogKey { return ledger.LogKey{Origin: origin, Key: r.key.Public()} }

func (r *rekor) open(o tlogtest.Options) (*rekorv2.Log, error) {
	opts := &rekorv2.Options{Writers: backend.Writers{Allowed: o.Allowed}}
	r.stalled.Store(o.Stalled)
	if o.Stalled {
		opts.Waiting = tlogtest.MaxWaiting
	}
	return rekorv2.Open(context.WithoutCancel(r.t.Context()), rekorv2.Config{URL: r.front.URL, Key: r.logKey(), Dir: r.mirror}, opts)
}

func (r *rekor) mustOpen() *rekorv2.Log {
	r.t.Helper()
	l, err := r.open(tlogtest.Options{Allowed: everybody})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = l.Close(ctx)
	})
	return l
}

// TestRekorContract: an unmodified Rekor v2 keeps a log as the house needs it.
func TestRekorContract(t *testing.T) {
	tlogtest.Run(t, func(t testing.TB) tlogtest.World {
		r := newRekor(t)
		return tlogtest.World{
			Key:  r.logKey(),
			Open: func(o tlogtest.Options) (backend.Log, error) { return r.open(o) },
			Damage: func() error {
				name := filepath.Join(r.mirror, "leaves")
				b, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				b[100] ^= 1
				return os.WriteFile(name, b, 0o600)
			},
		}
	})
}

// TestRekorAnswerLost: the server logs an entry, and its answer is lost, or ours
// is killed before it kept what was answered: the same entry again is found where
// it is, and is no second one, also where the server has forgotten it and would
// take it again.
func TestRekorAnswerLost(t *testing.T) {
	r := newRekor(t)
	s := tlogtest.NewSigner(t)
	l := r.mustOpen()
	one, two := s.Leaf(t, "one"), s.Leaf(t, "two")
	r.deaf.Store(true)
	if e, _, err := l.Add(t.Context(), one); !errors.Is(err, backend.ErrAway) {
		t.Fatalf("the answer was lost: %v, %v", e, err)
	}
	r.deaf.Store(false)
	r.server.Stop() // it forgets which entries it has
	if err := r.server.Start(); err != nil {
		t.Fatal(err)
	}
	if at := added(t, l, one); at != 0 {
		t.Errorf("the same again is entry %d", at)
	}
	if n, err := l.Size(t.Context()); n != 1 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	r.deaf.Store(true)
	if _, _, err := l.Add(t.Context(), two); !errors.Is(err, backend.ErrAway) {
		t.Fatal(err)
	}
	r.deaf.Store(false)
	l.Close(t.Context()) // as killed: nothing of the answer was kept
	r.server.Stop()
	if err := r.server.Start(); err != nil {
		t.Fatal(err)
	}
	l = r.mustOpen()
	if at := added(t, l, two); at != 1 {
		t.Errorf("the same again is entry %d", at)
	}
	if n, err := l.Size(t.Context()); n != 2 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
}

func added(t testing.TB, l *rekorv2.Log, req *pb.HashedRekordRequestV002) int64 {
	t.Helper()
	e, _, err := l.Add(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return e.GetLogIndex()
}

// TestRekorDuplicate: what others logged before is answered 409, and found.
func TestRekorDuplicate(t *testing.T) {
	r := newRekor(t)
	s := tlogtest.NewSigner(t)
	one, two := r.mustOpen(), r.mirror
	r.mirror = filepath.Join(t.TempDir(), "another")
	other := r.mustOpen()
	req := s.Leaf(t, "of both")
	at := added(t, one, req)
	if again := added(t, other, req); again != at {
		t.Errorf("entry %d is %d to another", at, again)
	}
	if n, err := other.Size(t.Context()); n != 1 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	r.mirror = two
}

// TestRekorAway: without the server nothing is logged, everything that was is
// answered, and a log opens all the same; it goes on when the server is back.
func TestRekorAway(t *testing.T) {
	r := newRekor(t)
	s := tlogtest.NewSigner(t)
	l := r.mustOpen()
	known, meanwhile := s.Leaf(t, "known"), s.Leaf(t, "meanwhile")
	added(t, l, known)
	before, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.away.Store(true)
		if e, _, err := l.Add(t.Context(), meanwhile); !errors.Is(err, backend.ErrAway) {
			t.Errorf("%v, %v, want ErrAway", e, err)
		}
		if at := added(t, l, known); at != 0 {
			t.Errorf("what is there is entry %d", at)
		}
		if _, err := l.Read(t.Context(), "tile/entries/000.p/1"); err != nil {
			t.Error(err)
		}
		l.Close(t.Context())
		l = r.mustOpen()
	}
	r.away.Store(false)
	if at := added(t, l, meanwhile); at != 1 {
		t.Errorf("entry is at %d, want 1", at)
	}
	cp, err := l.Checkpoint(t.Context())
	if err := errors.Join(err, before.Precedes(cp)); err != nil || cp.Size != 2 {
		t.Errorf("%d entries, %v", cp.Size, err)
	}
	r.away.Store(true)
	r.mirror = filepath.Join(t.TempDir(), "new")
	if _, err := r.open(tlogtest.Options{}); !errors.Is(err, backend.ErrAway) {
		t.Errorf("a log nothing is known of: %v, want ErrAway", err)
	}
}

// TestRekorFrozen: what is mirrored goes on to be read and proven without anyone.
func TestRekorFrozen(t *testing.T) {
	r := newRekor(t)
	s := tlogtest.NewSigner(t)
	l := r.mustOpen()
	req := s.Leaf(t, "known")
	added(t, l, req)
	final, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close(t.Context())
	r.away.Store(true)
	f, err := rekorv2.OpenFrozen(t.Context(), r.mirror, r.logKey(), final, &rekorv2.Options{Writers: backend.Writers{Allowed: everybody}})
	if err != nil {
		t.Fatal(err)
	}
	e, dup, err := f.Add(t.Context(), req)
	v, verr := r.logKey().Verifier()
	if err := errors.Join(err, verr); err != nil || !dup {
		t.Fatal(dup, err)
	}
	if err := rekorverify.VerifyLogEntry(e, v); err != nil {
		t.Error(err)
	}
	if _, _, err := f.Add(t.Context(), s.Leaf(t, "new")); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	other := *final
	other.Size++
	if _, err := rekorv2.OpenFrozen(t.Context(), r.mirror, r.logKey(), &other, nil); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("another end: %v, want ErrCorrupt", err)
	}
}

// TestAttackRekorForks: the server has another log under the same key, smaller or
// larger than what is known: nothing is taken, and the mirror stays.
func TestAttackRekorForks(t *testing.T) {
	for _, n := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(n, " entries"), func(t *testing.T) {
			r := newRekor(t)
			s := tlogtest.NewSigner(t)
			l := r.mustOpen()
			known := s.Leaf(t, "known")
			added(t, l, known)
			added(t, l, s.Leaf(t, "known too"))
			l.Close(t.Context())

			// the server's files are lost, and it begins anew with its key
			r.server.Stop()
			if err := errors.Join(os.RemoveAll(r.dir), os.Mkdir(r.dir, 0o700), r.server.Start()); err != nil {
				t.Fatal(err)
			}
			honest := r.mirror
			r.mirror = filepath.Join(t.TempDir(), "fooled")
			fooled := r.mustOpen()
			for i := range n {
				added(t, fooled, s.Leaf(t, fmt.Sprint("another ", i)))
			}
			r.mirror = honest
			if l, err := r.open(tlogtest.Options{Allowed: everybody}); !errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("%v, %v, want ErrCorrupt", l, err)
			}
			if _, err := os.Stat(filepath.Join(honest, "contradiction.shown")); n <= 2 && err != nil {
				t.Errorf("no evidence is kept: %v", err)
			}
		})
	}
}

// built is a program below bin.
func built(t testing.TB, name string) string {
	t.Helper()
	bin := os.Getenv("PATCHFIT_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(bin, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%s is not built (%v): run make e2e", name, err)
	}
	return path
}
