package repository_test

import (
	"crypto"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/repository"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A world is a repository in the making and the server's side of it.
type world struct {
	*tuftest.Repository
	t      *testing.T
	dir    string
	policy []byte
	keys   []crypto.Signer
	now    *tuf.Repository // what the server took
	blobs  map[attest.Digest][]byte
	paths  map[string]attest.Digest
}

func within(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Repository: tuftest.New(t, time.Now()), t: t, dir: t.TempDir(), blobs: map[attest.Digest][]byte{}, paths: map[string]attest.Digest{}}
		a := verifytest.New(t)
		w.policy, _ = a.SignedTrustPolicy(a.Product("lib/greet"))
		w.keys = []crypto.Signer{w.Keys[tuf.RoleTimestamp].Keys[0]}
		test(w)
	})
}

func (w *world) TUF() (*tuf.Repository, map[string]attest.Digest) { return w.now, w.paths }

func (w *world) Get(d attest.Digest) ([]byte, error) {
	if b, ok := w.blobs[d]; ok {
		return b, nil
	}
	return nil, errors.New("lost")
}

func (w *world) accept() {
	w.t.Helper()
	next, err := tuf.Accept(w.now, w.Offer())
	if err != nil {
		w.t.Fatal(err)
	}
	paths, err := next.Paths()
	if err != nil {
		w.t.Fatal(err)
	}
	for path, b := range paths {
		w.paths[path] = attest.DigestOf(b)
		w.blobs[w.paths[path]] = b
	}
	w.now = next
}

func (w *world) open() *repository.Repository {
	return repository.New(w.dir, w, w, func() ([]crypto.Signer, error) { return w.keys, nil }, nil)
}

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, "/"+path, nil))
	return rec
}

// stamped returns the timestamp a server sends.
func (w *world) stamped(h http.Handler) *tuf.Timestamp {
	w.t.Helper()
	rec := get(h, http.MethodGet, "timestamp.json")
	if rec.Code != http.StatusOK {
		w.t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	ts, err := tuf.OpenTimestamp(w.now.Root(), rec.Body.Bytes())
	if err != nil {
		w.t.Fatal(err)
	}
	return ts
}

func TestServesEveryStateThereWas(t *testing.T) {
	within(t, func(w *world) {
		h := w.open()
		if rec := get(h, http.MethodGet, "timestamp.json"); rec.Code != http.StatusNotFound {
			t.Errorf("without a repository: %d", rec.Code)
		}
		w.Release(w.policy)
		w.accept()
		w.Rotate()
		w.Release(w.policy)
		w.accept()
		for path, want := range w.Served() {
			if path == "timestamp.json" {
				continue
			}
			rec := get(h, http.MethodGet, path)
			if rec.Code != http.StatusOK || rec.Body.String() != string(want) {
				t.Errorf("%s: %d", path, rec.Code)
			}
			if cache := rec.Header().Get("Cache-Control"); cache != "public, max-age=31536000, immutable" {
				t.Errorf("%s: Cache-Control %q", path, cache)
			}
		}
		if cache := get(h, http.MethodHead, "timestamp.json").Header().Get("Cache-Control"); cache != "public, no-cache" {
			t.Errorf("the timestamp: Cache-Control %q", cache)
		}
		for _, path := range []string{"", "targets/", "3.root.json", "0.root.json", "root.json", "../keys/log.pem", "targets/../../keys/log.pem", "targets/trust-policy.json"} {
			if rec := get(h, http.MethodGet, path); rec.Code != http.StatusNotFound {
				t.Errorf("%q: %d", path, rec.Code)
			}
		}
		if rec := get(h, http.MethodPut, "timestamp.json"); rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("PUT: %d", rec.Code)
		}
	})
}

// A timestamp is made again before it is over, never of a lower version, and
// survives a restart.
func TestTimestamps(t *testing.T) {
	within(t, func(w *world) {
		w.Release(w.policy)
		w.accept()
		h := w.open()
		first := w.stamped(h)
		time.Sleep(11 * time.Hour)
		if again := w.stamped(w.open()); again.Version != first.Version {
			t.Errorf("version %d after a restart, want %d", again.Version, first.Version)
		}
		time.Sleep(2 * time.Hour)
		second := w.stamped(h)
		if second.Version <= first.Version || time.Until(second.Expires) < 23*time.Hour {
			t.Errorf("%+v follows %+v", second, first)
		}
		w.Release(w.policy)
		w.accept()
		third := w.stamped(h)
		if third.Version <= second.Version || third.Snapshot != attest.DigestOf(w.now.Snapshot) {
			t.Errorf("%+v follows %+v", third, second)
		}
		if err := os.Remove(filepath.Join(w.dir, "timestamp.json")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if lost := w.stamped(w.open()); lost.Version <= third.Version {
			t.Errorf("version %d where the last one was lost, want above %d", lost.Version, third.Version)
		}
	})
}

// While the disk takes nothing, the last timestamp is sent until it is over.
func TestTimestampOnAFullDisk(t *testing.T) {
	within(t, func(w *world) {
		w.Release(w.policy)
		w.accept()
		h := w.open()
		first := w.stamped(h)
		if err := os.MkdirAll(filepath.Join(w.dir, "timestamp.json.new", "full"), 0o700); err != nil { // nothing can be made there
			t.Fatal(err)
		}
		time.Sleep(20 * time.Hour)
		if got := w.stamped(h); got.Version != first.Version {
			t.Errorf("version %d", got.Version)
		}
		time.Sleep(5 * time.Hour)
		if rec := get(h, http.MethodGet, "timestamp.json"); rec.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", rec.Code)
		}
	})
}

// Two servers, one of them a mirror's, each with a key of its own, of which one
// is enough.
func TestServersWithAKeyEach(t *testing.T) {
	within(t, func(w *world) {
		w.Keys[tuf.RoleTimestamp] = &tuftest.Role{Keys: append(w.Keys[tuf.RoleTimestamp].Keys, tuftest.Key(t)), Threshold: 1}
		w.Rotate()
		w.Release(w.policy)
		w.accept()
		for _, key := range w.Keys[tuf.RoleTimestamp].Keys {
			w.keys, w.dir = []crypto.Signer{key}, t.TempDir()
			w.stamped(w.open())
		}
	})
}

// The next key is there before the root names it, the last one until no root
// does.
func TestTimestampKeyIsReplaced(t *testing.T) {
	within(t, func(w *world) {
		w.Release(w.policy)
		w.accept()
		h := w.open()
		w.stamped(h)
		next := tuftest.Key(t)
		w.Keys[tuf.RoleTimestamp].Keys[0] = next
		w.Rotate()
		roots := w.Offer().Roots
		if err := h.CanSign(roots[len(roots)-1]); err == nil {
			t.Error("the server can sign with a key it does not have")
		}
		w.keys = append(w.keys, next)
		if err := h.CanSign(roots[len(roots)-1]); err != nil {
			t.Error(err)
		}
		w.Release(w.policy)
		w.accept()
		w.stamped(h)
		w.keys = w.keys[1:]
		time.Sleep(13 * time.Hour)
		w.stamped(h)
	})
}

// TestCopyOfAKey: a key that is there twice is one: a root that wants two is not
// accepted by a server that has one of them, and could not make a timestamp.
func TestCopyOfAKey(t *testing.T) {
	within(t, func(w *world) {
		role := w.Keys[tuf.RoleTimestamp]
		role.Keys, role.Threshold = append(role.Keys, tuftest.Key(t)), 2
		w.Rotate()
		w.Release(w.policy)
		roots := w.Offer().Roots
		w.keys = []crypto.Signer{role.Keys[0], role.Keys[0]}
		h := w.open()
		if err := h.CanSign(roots[len(roots)-1]); err == nil {
			t.Error("two of two keys, of one and its copy")
		}
		w.keys = append(w.keys, role.Keys[1])
		if err := h.CanSign(roots[len(roots)-1]); err != nil {
			t.Error(err)
		}
		w.accept()
		w.stamped(h)
	})
}
