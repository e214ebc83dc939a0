package tlog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// filled returns a closed log of n entries.
func filled(t *testing.T, n int) *house {
	h := newHouse(t)
	l := h.open()
	for range n {
		add(t, l, leaf(t), false)
	}
	closed(t, l)
	return h
}

// change rewrites a file of the log.
func (h *house) change(name string, f func([]byte) []byte) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, f(bytes.Clone(b)), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func TestDamagedOnDisk(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*house){
		"entry changed": func(h *house) { h.change("tile/entries/000.p/3", flip(100)) },
		"entry cut":     func(h *house) { h.change("tile/entries/000.p/3", func(b []byte) []byte { return b[:len(b)-1] }) },
		"entries gone":  func(h *house) { h.remove("tile/entries") },
		"last entry gone": func(h *house) {
			h.change("tile/entries/000.p/3", func([]byte) []byte { return h.read("tile/entries/000.p/2") })
		},
		"checkpoint changed":     func(h *house) { h.change("checkpoint", flip(len(origin)+1)) },
		"checkpoint of another":  func(h *house) { _, h.key, _ = ed25519.GenerateKey(rand.Reader) },
		"checkpoint empty":       func(h *house) { h.change("checkpoint", func([]byte) []byte { return nil }) },
		"tree behind checkpoint": func(h *house) { h.change(".state/treeState", func([]byte) []byte { return h.oldTree }) },
		"tree ahead, wrong root": func(h *house) {
			h.change("checkpoint", func([]byte) []byte { return h.oldCheckpoint })
			h.change("tile/entries/000.p/3", flip(1200))
		},
		"checkpoint gone, leaves": func(h *house) { h.remove("checkpoint"); h.change("tile/entries/000.p/3", flip(100)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := filled(t, 2)
			h.oldTree, h.oldCheckpoint = h.read(".state/treeState"), h.read("checkpoint")
			l := h.open()
			add(t, l, leaf(t), false)
			closed(t, l)
			damage(h)
			h.refused(ErrCorrupt)
		})
	}
}

func (h *house) read(name string) []byte {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *house) remove(name string) {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.dir, name)); err != nil {
		h.t.Fatal(err)
	}
}

// TestNoFork damages the hashes that the next tree is made from while the log
// runs. Tessera cannot see that; what the log must not do is sign it.
func TestNoFork(t *testing.T) {
	t.Parallel()
	h := filled(t, 3)
	before := h.read("checkpoint")
	l := h.open()
	h.change("tile/0/000.p/3", flip(0))
	if _, _, err := l.Add(t.Context(), leaf(t)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
	if !bytes.Equal(h.read("checkpoint"), before) {
		t.Error("a checkpoint was signed for a tree that is not the entries'")
	}
	if _, _, err := l.Add(t.Context(), leaf(t)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("afterwards: %v, want ErrCorrupt", err)
	}
	if err := l.Close(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("closing: %v, want ErrCorrupt", err)
	}
	h.refused(ErrCorrupt)
}

func TestTreeShrinks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	add(t, l, leaf(t), false)
	before, _ := l.latest.get()
	add(t, l, leaf(t), false)
	if err := l.guard.check(t.Context(), before); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "shrank from 2 entries to 1") {
		t.Errorf("%v, want ErrCorrupt", err)
	}
	for _, msg := range []string{"", "hello\n", "other.example.org\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"} {
		if _, err := l.guard.Sign([]byte(msg)); err == nil {
			t.Errorf("%q was signed", msg)
		}
	}
}

// TestFailingDisk lets no file be made in the log for a while. What is refused
// meanwhile can be added when the disk is well again.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	h := filled(t, 1)
	l := h.open()
	tile := filepath.Join(h.dir, "tile")
	if err := errors.Join(os.Rename(tile, tile+".away"), os.WriteFile(tile, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	req := leaf(t)
	if _, _, err := l.Add(t.Context(), req); err == nil {
		t.Fatal("an entry was acknowledged that could not be written")
	}
	if err := errors.Join(os.Remove(tile), os.Rename(tile+".away", tile)); err != nil {
		t.Fatal(err)
	}
	at := add(t, l, req, false)
	closed(t, l)
	if got := add(t, h.open(), req, true); got != at {
		t.Errorf("entry %d is now %d", at, got)
	}
}

// TestClockSetBack has a checkpoint of the future, as the clock sees it.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	future := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(filepath.Join(h.dir, "checkpoint"), future, future); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, _, err := l.Add(ctx, leaf(t)); err != nil {
		t.Error(err)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	h := filled(t, 2)
	strays := []string{
		"checkpoint123", ".state/treeState99", ".state/version1", "tile/0/0001234567", "tile/0/000.p/212345",
		"tile/entries/000.p/12054680182", "tile/entries/0009", "tile/1/x001/0007777",
	}
	keep := []string{"README", "checkpoint.old", "tile/0/note.txt", "tile/entries/000.p/1", "tile/0/x001/234", ".state/treeState.lock"}
	for _, name := range append(strays, keep...) {
		path := filepath.Join(h.dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	h.open()
	for _, name := range strays {
		if _, err := os.Stat(filepath.Join(h.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range keep {
		if _, err := os.Stat(filepath.Join(h.dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.opts.BatchAge = time.Hour
	l := h.open()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("gone"))
	if _, _, err := l.Add(ctx, leaf(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("closing: %v, want context.Canceled", err)
	}
}
