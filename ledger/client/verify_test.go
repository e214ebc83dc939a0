package client_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

type tamper = func(r *http.Request, status int, b []byte) (int, []byte)

// audit verifies the log through tamper.
func (w *world) audit(seen *client.Checkpoint, f tamper) (*client.Checkpoint, error) {
	return w.client(f).VerifyLog(w.t.Context(), w.trustedRoot, seen, nil)
}

func (w *world) mustAudit(seen *client.Checkpoint) *client.Checkpoint {
	w.t.Helper()
	cp, err := w.audit(seen, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return cp
}

func TestVerifyLog(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPublisher(t)
	seen := w.mustAudit(nil)
	if seen.Size != 0 {
		t.Errorf("%d entries in an empty log", seen.Size)
	}
	c := w.client(nil)
	var logged []attest.Digest
	for _, more := range []int{1, 2, 260} {
		envelope := p.sign(t)
		if _, err := c.Log(t.Context(), envelope, p.public); err != nil {
			t.Fatal(err)
		}
		e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
		if err != nil {
			t.Fatal(err)
		}
		logged = append(logged, attest.DigestOf(e.Signatures[0].Sig))
		w.fill(more)
		seen = w.mustAudit(seen)
	}
	if seen.Size != 3+1+2+260 {
		t.Errorf("%d entries", seen.Size)
	}
	next := uint64(0)
	again, err := c.VerifyLog(t.Context(), w.trustedRoot, seen, func(index uint64, leaf []byte) error {
		if index != next {
			t.Errorf("entry %d comes after %d", index, next-1)
		}
		next++
		e, err := ledger.ParseEntry(leaf)
		if err != nil {
			return err
		}
		logged = slices.DeleteFunc(logged, func(d attest.Digest) bool { return d == attest.DigestOf(e.Signature) })
		return nil
	})
	if err != nil || next != seen.Size || len(logged) != 0 {
		t.Errorf("%v: saw %d of %d entries, missed %v", err, next, seen.Size, logged)
	}
	if !bytes.Equal(again.Raw, seen.Raw) {
		t.Error("the checkpoint changed though nothing was logged")
	}
	stop := errors.New("stop")
	if _, err := c.VerifyLog(t.Context(), w.trustedRoot, nil, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want the visitor's error", err)
	}
}

// TestEveryFileCounts changes every file an audit reads, one at a time, in
// several places, cuts it, and takes it away.
func TestEveryFileCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(300)
	seen := w.mustAudit(nil)
	var mu sync.Mutex
	files := map[string]int{}
	if _, err := w.audit(seen, func(r *http.Request, status int, b []byte) (int, []byte) {
		mu.Lock()
		defer mu.Unlock()
		files[r.URL.Path] = len(b)
		return status, b
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"checkpoint", "tile/entries/000", "tile/entries/001.p/44", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"} {
		if files["/api/v2/"+want] == 0 {
			t.Errorf("%s was not read: %v", want, files)
		}
	}
	for path, size := range files {
		for name, change := range map[string]func([]byte) (int, []byte){
			"first byte": func(b []byte) (int, []byte) { b[0] ^= 1; return 200, b },
			"a byte":     func(b []byte) (int, []byte) { b[size/2] ^= 1; return 200, b },
			"last byte":  func(b []byte) (int, []byte) { b[size-2] ^= 1; return 200, b },
			"cut":        func(b []byte) (int, []byte) { return 200, b[:size-1] },
			"empty":      func([]byte) (int, []byte) { return 200, nil },
			"missing":    func([]byte) (int, []byte) { return 404, nil },
		} {
			_, err := w.audit(seen, func(r *http.Request, status int, b []byte) (int, []byte) {
				if r.URL.Path == path {
					return change(b)
				}
				return status, b
			})
			want := ledger.ErrTampered
			if strings.HasSuffix(path, "checkpoint") {
				want = ledger.ErrUnsigned
			}
			if name == "missing" && want == ledger.ErrUnsigned {
				want = client.ErrNotFound
			}
			if !errors.Is(err, want) {
				t.Errorf("%s, %s: %v, want %v", path, name, err, want)
			}
		}
	}
}

func TestTwoStories(t *testing.T) {
	t.Parallel()
	a := newWorld(t)
	b := newWorldOf(t, a.logKey)
	a.fill(3)
	seen := a.mustAudit(nil)
	b.fill(2)
	if _, err := b.audit(seen, nil); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("a smaller log: %v, want ErrRolledBack", err)
	}
	b.fill(1)
	if _, err := b.audit(seen, nil); !errors.Is(err, ledger.ErrForked) {
		t.Errorf("a log of the same size: %v, want ErrForked", err)
	}
	b.fill(2)
	if _, err := b.audit(seen, nil); !errors.Is(err, ledger.ErrForked) {
		t.Errorf("a larger log: %v, want ErrForked", err)
	}
	b.mustAudit(nil) // alone, it is a log like any other
	if _, err := newWorld(t).audit(seen, nil); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("an empty log: %v, want ErrRolledBack", err)
	}
	stranger := newWorld(t)
	stranger.trustedRoot = a.trustedRoot
	if _, err := stranger.audit(nil, nil); !errors.Is(err, ledger.ErrUnsigned) {
		t.Errorf("another's log: %v, want ErrUnsigned", err)
	}
}

// TestOtherEntries has a log that serves entries and tiles which fit each other,
// but not what it signed.
func TestOtherEntries(t *testing.T) {
	t.Parallel()
	a := newWorld(t)
	b := newWorldOf(t, a.logKey)
	a.fill(3)
	b.fill(3)
	cp := a.mustAudit(nil)
	if _, err := b.audit(nil, replaceAt("/api/v2/checkpoint", func([]byte) []byte { return cp.Raw })); !errors.Is(err, ledger.ErrTampered) {
		t.Errorf("%v, want ErrTampered", err)
	}
}

// TestLogGrowsMeanwhile has an auditor with an old checkpoint, whose partial
// tiles the log has dropped since.
func TestLogGrowsMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(200)
	old := w.mustAudit(nil)
	w.fill(60)
	got, err := w.audit(nil, func(r *http.Request, status int, b []byte) (int, []byte) {
		switch {
		case strings.HasSuffix(r.URL.Path, "checkpoint"):
			return status, old.Raw
		case strings.Contains(r.URL.Path, ".p/"):
			return http.StatusNotFound, nil
		}
		return status, b
	})
	if err != nil || got.Size != 200 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := w.audit(old, nil); err != nil {
		t.Error(err)
	}
}
