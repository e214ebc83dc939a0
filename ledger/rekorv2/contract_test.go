package rekorv2

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	ours "github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tlog/tlogtest"
)

const origin = "rekor.example.org"

// A server is a log of our own that others write to as they would to a Rekor.
// test/backend has the same tests of an unmodified one.
type server struct {
	t       testing.TB
	key     ed25519.PrivateKey
	log     *ours.Log
	url     string
	dir     string
	stalled atomic.Bool

	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request) bool // in its place; nil: none
}

func newServer(t testing.TB) *server {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, key: key, dir: t.TempDir()}
	if s.log, err = ours.Open(context.Background(), t.TempDir(), origin, key, &ours.Options{Allowed: everybody}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.log.Close(context.Background()) })
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

func everybody(attest.Digest) bool { return true }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && s.stalled.Load() {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return
	}
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer == nil || !answer(w, r) {
		s.log.ServeHTTP(w, r)
	}
}

func (s *server) answers(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *server) logKey() ledger.LogKey { return ledger.LogKey{Origin: origin, Key: s.key.Public()} }

func (s *server) open(o tlogtest.Options) (*Log, error) {
	s.stalled.Store(o.Stalled)
	opts := &Options{Writers: backend.Writers{Allowed: o.Allowed}}
	if o.Stalled {
		opts.Waiting = tlogtest.MaxWaiting
	}
	return Open(context.Background(), Config{URL: s.url, Key: s.logKey(), Dir: s.dir}, opts)
}

func (s *server) mustOpen() *Log {
	s.t.Helper()
	l, err := s.open(tlogtest.Options{Allowed: everybody})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.Close(ctx)
	})
	return l
}

// TestContract: a log that another server keeps is one as the house needs it.
func TestContract(t *testing.T) {
	t.Parallel()
	tlogtest.Run(t, func(t testing.TB) tlogtest.World {
		s := newServer(t)
		return tlogtest.World{
			Key: s.logKey(),
			Open: func(o tlogtest.Options) (backend.Log, error) {
				l, err := s.open(o)
				if err != nil {
					return nil, err
				}
				return l, nil
			},
			Damage: func() error { return flip(filepath.Join(s.dir, leavesFile), 100) },
		}
	})
}

func flip(name string, at int) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	b[at] ^= 1
	return os.WriteFile(name, b, 0o600)
}

// TestAttackAnswers: whatever the server says of an entry, nothing is acknowledged
// that is not in a log it signed, and the same entry gets in when it stops.
func TestAttackAnswers(t *testing.T) {
	t.Parallel()
	say := func(status int, header, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			if header != "" {
				w.Header().Set(duplicateHeader, header)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		want   error
	}{
		"of another entry":       {say(201, "", `{"logIndex":"0"}`), backend.ErrCorrupt},
		"a duplicate of another": {say(409, "0", `{}`), backend.ErrCorrupt},
		"a duplicate of nowhere": {say(409, "", `{}`), backend.ErrAway},
		"no JSON":                {say(201, "", `hello`), backend.ErrAway},
		"less than nothing":      {say(201, "", `{"logIndex":"-1"}`), backend.ErrAway},
		"another's checkpoint":   {say(201, "", `{"logIndex":"1","inclusionProof":{"checkpoint":{"envelope":"x\n1\nAAAA\n\n"}}}`), backend.ErrCorrupt},
		"refused":                {say(400, "", `{"message":"invalid"}`), backend.ErrBadEntry},
		"frozen":                 {say(405, "", `{"message":"frozen"}`), backend.ErrClosed},
		"pushed back":            {say(503, "", `{}`), backend.ErrAway},
		"too many":               {say(429, "", ``), backend.ErrAway},
		"broken":                 {say(500, "", `{"message":"failed to integrate entry"}`), backend.ErrAway},
		"a redirect":             {say(307, "", ``), backend.ErrAway},
		"no tiles": {func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/tile/") {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			return false
		}, backend.ErrAway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, signer := newServer(t), tlogtest.NewSigner(t)
			l := s.mustOpen()
			if _, _, err := l.Add(t.Context(), signer.Leaf(t, "before")); err != nil {
				t.Fatal(err)
			}
			l.lag = 500 * time.Millisecond
			s.answers(tt.answer)
			req := signer.Leaf(t, "meanwhile")
			if e, _, err := l.Add(t.Context(), req); !errors.Is(err, tt.want) {
				t.Errorf("%v, %v, want %v", e, err, tt.want)
			}
			s.answers(nil)
			if e, _, err := l.Add(t.Context(), req); err != nil || e.GetLogIndex() != 1 {
				t.Errorf("afterwards: %v, %v", e, err)
			}
		})
	}
}

// TestAttackSplitView: the server signs another log of as many entries, and sends
// it with an answer: the writing ends, both are kept, and what is known is read.
func TestAttackSplitView(t *testing.T) {
	t.Parallel()
	s, signer := newServer(t), tlogtest.NewSigner(t)
	l := s.mustOpen()
	known := signer.Leaf(t, "known")
	if _, _, err := l.Add(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	other, err := ours.Open(context.Background(), t.TempDir(), origin, s.key, &ours.Options{Allowed: everybody})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	if _, _, err := other.Add(t.Context(), signer.Leaf(t, "another")); err != nil {
		t.Fatal(err)
	}
	s.answers(func(w http.ResponseWriter, r *http.Request) bool { other.ServeHTTP(w, r); return true })
	for range 2 {
		if e, _, err := l.Add(t.Context(), signer.Leaf(t, "meanwhile")); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%v, %v, want ErrCorrupt", e, err)
		}
		if _, _, err := l.Add(t.Context(), known); err != nil {
			t.Errorf("what is there: %v", err)
		}
		l.unsure.Store(true) // it looks at the checkpoint itself
	}
	l.Close(t.Context())
	if l, err := s.open(tlogtest.Options{}); !errors.Is(err, backend.ErrCorrupt) || !errors.Is(err, ledger.ErrForked) {
		t.Errorf("%v, %v, want ErrForked", l, err)
	}
	for _, name := range []string{"contradiction.seen", "contradiction.shown"} {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if _, cerr := ledger.OpenCheckpoint(b, []ledger.LogKey{s.logKey()}); err != nil || cerr != nil {
			t.Errorf("%s: %v, %v", name, err, cerr)
		}
	}
}

// TestMirror: what a crash left behind the checkpoint is nothing; what is missing
// before it is damage.
func TestMirror(t *testing.T) {
	t.Parallel()
	s, signer := newServer(t), tlogtest.NewSigner(t)
	l := s.mustOpen()
	for _, n := range []string{"one", "two"} {
		if _, _, err := l.Add(t.Context(), signer.Leaf(t, n)); err != nil {
			t.Fatal(err)
		}
	}
	l.Close(t.Context())
	name := filepath.Join(s.dir, leavesFile)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(slices.Clone(whole), "half a le"...), 0o600); err != nil {
		t.Fatal(err)
	}
	l = s.mustOpen()
	if e, _, err := l.Add(t.Context(), signer.Leaf(t, "three")); err != nil || e.GetLogIndex() != 2 {
		t.Errorf("after a crash: %v, %v", e, err)
	}
	l.Close(t.Context())
	l = s.mustOpen()
	l.Close(t.Context())
	if err := os.WriteFile(name, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := s.open(tlogtest.Options{}); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("%v, %v, want ErrCorrupt", l, err)
	}
	if err := os.Remove(filepath.Join(s.dir, checkpointFile)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.mustOpen().Size(t.Context()); n != 3 || err != nil {
		t.Errorf("a mirror that is made again has %d entries, %v", n, err)
	}
}

// FuzzParseTile: a path that is taken names what is there, and is the only way to
// write it.
func FuzzParseTile(f *testing.F) {
	for _, path := range []string{"tile/0/000", "tile/0/001.p/4", "tile/entries/000.p/3", "tile/1/x001/000", "tile/data/000", "tile/8/0/000", "tile/-1/000", "tile/entries/x"} {
		f.Add(path, uint64(300))
	}
	f.Fuzz(func(t *testing.T, path string, size uint64) {
		size %= 1 << 50
		tile, ok := parseTile(path, size)
		if !ok {
			return
		}
		if tile.W < 1 || tile.W > width || uint64(tile.N)*width+uint64(tile.W) > size>>(height*max(tile.L, 0)) {
			t.Errorf("%q of %d entries is %+v", path, size, tile)
		}
		again := strings.Replace(strings.Replace(tile.Path(), "tile/8/", "tile/", 1), "tile/data/", "tile/entries/", 1)
		if again != path {
			t.Errorf("%q is written %q", path, again)
		}
	})
}
