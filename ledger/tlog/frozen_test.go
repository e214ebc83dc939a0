package tlog

import (
	"errors"
	"testing"

	"github.com/patchfit/patchfit/ledger/backend"
)

// TestFrozen: what is in a frozen log is proven and counted, nothing goes in,
// and one that went on, or back, is not opened.
func TestFrozen(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	s, pub := newSigner(t)
	known := newLeaf(t, s, pub, "known")
	add(t, l, known, false)
	final, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	f, err := OpenFrozen(t.Context(), Disk(h.dir), h.logKey(), final, &h.opts)
	if err != nil {
		t.Fatal(err)
	}
	if i := add(t, f, known, true); i != 0 || f.Count(pub.ID()) != 1 {
		t.Errorf("entry %d, %d of the key", i, f.Count(pub.ID()))
	}
	if _, _, err := f.Add(t.Context(), leaf(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	closed(t, f)

	l = h.open()
	add(t, l, leaf(t), false)
	later, _ := l.Checkpoint(t.Context())
	closed(t, l)
	if _, err := OpenFrozen(t.Context(), Disk(h.dir), h.logKey(), final, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a log that went on: %v, want ErrCorrupt", err)
	}
	h.change("checkpoint", func([]byte) []byte { return final.Raw })
	if _, err := OpenFrozen(t.Context(), Disk(h.dir), h.logKey(), later, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a log that went back: %v, want ErrCorrupt", err)
	}
	h.remove("checkpoint")
	if _, err := OpenFrozen(t.Context(), Disk(h.dir), h.logKey(), final, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a log that is gone: %v, want ErrCorrupt", err)
	}
}

// TestNothingPublished: a log without a checkpoint is empty, and says so.
func TestNothingPublished(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	l.latest.cp = nil
	if _, err := l.Checkpoint(t.Context()); !errors.Is(err, backend.ErrNoCheckpoint) {
		t.Errorf("%v, want ErrNoCheckpoint", err)
	}
	if n, err := l.Size(t.Context()); n != 0 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
}
