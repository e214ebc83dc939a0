package tlog

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger/quorum"
	"github.com/patchfit/patchfit/ledger/witness"
)

// A court is three real witnesses of one log, two of which are enough.
type court struct {
	t      testing.TB
	policy *quorum.Policy
	text   string
	away   [3]atomic.Bool
	late   atomic.Bool // they take their time
}

func newCourt(t testing.TB, h *house) *court {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey(origin, h.key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	c := &court{t: t, text: "log " + vkey + "\n"}
	known, err := quorum.Parse([]byte(c.text + "quorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.away {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("w%d.example", i)
		w, err := witness.Open(t.TempDir(), name, key, known, nil)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if c.away[i].Load() {
				panic(http.ErrAbortHandler)
			}
			if c.late.Load() {
				time.Sleep(late)
			}
			w.Handler().ServeHTTP(rw, r)
		}))
		t.Cleanup(func() { server.Close(); w.Close() })
		c.text += fmt.Sprintf("witness w%d %s %s\n", i, witness.VKey(name, key), server.URL)
	}
	c.text += "group two 2 w0 w1 w2\nquorum two\n"
	if c.policy, err = quorum.Parse([]byte(c.text)); err != nil {
		t.Fatal(err)
	}
	h.opts.Witnesses, h.opts.CheckpointInterval = []byte(c.text), DefaultCheckpointInterval
	return c
}

// seen asks of an entry what a host asks that pins the policy.
func (c *court) seen(e *rekor.TransparencyLogEntry) error {
	_, err := c.policy.Check([]byte(e.GetInclusionProof().GetCheckpoint().GetEnvelope()))
	return err
}

// impatient adds a leaf and gives up soon.
func impatient(t testing.TB, l *Log) (*rekor.TransparencyLogEntry, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	e, _, err := l.Add(ctx, leaf(t))
	return e, err
}

func TestWitnessed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := newCourt(t, h)
	c.away[1].Store(true)
	l := h.open()
	v, err := h.logKey().Verifier()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e, _, err := l.Add(t.Context(), leaf(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.seen(e); err != nil {
			t.Error(err)
		}
		if err := rekorverify.VerifyLogEntry(e, v); err != nil {
			t.Errorf("a verifier that knows no witnesses: %v", err)
		}
	}

	c.away[2].Store(true) // one is left
	req := leaf(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := l.Add(ctx, req); err == nil {
		t.Error("an entry was answered for that one witness saw")
	}
	if n, err := l.Size(t.Context()); n != 3 || err != nil {
		t.Errorf("published are %d entries, %v", n, err)
	}
	if _, err := l.Leaf(t.Context(), 2); err != nil {
		t.Errorf("reading, meanwhile: %v", err)
	}
	c.away[2].Store(false)
	e, _, err := l.Add(t.Context(), req)
	if err != nil || e.GetLogIndex() != 3 || c.seen(e) != nil {
		t.Errorf("the same entry, when they are back: %v, %v", e, err)
	}
	closed(t, l)
	for i := range c.away {
		c.away[i].Store(true)
	}
	if n, err := h.open().Size(t.Context()); n != 4 || err != nil {
		t.Errorf("opened while nobody is there: %d entries, %v", n, err)
	}
}

// A log shows two histories under its one key, each to whoever asks it: the
// second finds no two witnesses, and a host that pins them takes nothing of it.
func TestSplitViewIsNotWitnessed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := newCourt(t, h)
	one := h.open()
	for range 2 {
		if _, _, err := one.Add(t.Context(), leaf(t)); err != nil {
			t.Fatal(err)
		}
	}
	if two, err := Open(t.Context(), t.TempDir(), origin, h.key, &h.opts); err == nil || !strings.Contains(err.Error(), "witness policy was not satisfied") {
		t.Errorf("the other history begins: %v, %v", two, err)
	}
	alone := &house{t: t, dir: t.TempDir(), key: h.key, opts: h.opts}
	alone.opts.Witnesses = nil // it does not even ask
	e, _, err := alone.open().Add(t.Context(), leaf(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.seen(e); err == nil || !strings.Contains(err.Error(), "cosigned by none") {
		t.Errorf("a host takes what nobody saw: %v", err)
	}
	if _, _, err := one.Add(t.Context(), leaf(t)); err != nil {
		t.Errorf("the honest history goes on: %v", err)
	}
}

// A log is set back to an older copy of its directory and goes on from there.
func TestRollbackIsNotWitnessed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	newCourt(t, h)
	l := h.open()
	if _, _, err := l.Add(t.Context(), leaf(t)); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(h.dir)); err != nil {
		t.Fatal(err)
	}
	l = h.open()
	if _, _, err := l.Add(t.Context(), leaf(t)); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	set := &house{t: t, dir: backup, key: h.key, opts: h.opts}
	if e, err := impatient(t, set.open()); err == nil {
		t.Errorf("the log that was set back got entry %d", e.GetLogIndex())
	}
}

func TestWitnessesHaveToBeAsked(t *testing.T) {
	for _, text := range []string{"quorum none\n", "quorum nobody\n", "witness w w+1+BA\nquorum w\n"} {
		h := newHouse(t)
		h.opts.Witnesses = []byte(text)
		if l, err := Open(t.Context(), h.dir, origin, h.key, &h.opts); err == nil {
			l.Close(context.Background())
			t.Errorf("%q: the log opens", text)
		}
	}
}
