package witness

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLockWasRemoved: two processes have one directory open, because somebody
// took the lock of the first for a leftover. One history is cosigned.
func TestLockWasRemoved(t *testing.T) {
	l, place := newFork(t, origin).grow(3, "a"), t.TempDir()
	start := func() *Witness {
		t.Helper()
		w, err := Open(place, name, witnessKey, policyOf(t, l), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		return w
	}
	one := start()
	if err := os.Remove(filepath.Join(place, "lock")); err != nil {
		t.Fatal(err)
	}
	two := start()
	first := l.since(0)
	if _, err := one.Add(first); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Add(l.other().grow(3, "x").since(0)); !errors.Is(err, ErrDisproved) {
		t.Errorf("the other process, of 3 other entries: %v", err)
	}
	before, err := os.ReadFile(one.file(origin))
	if err != nil {
		t.Fatal(err)
	}
	lie := l.other().grow(3, "a").grow(2, "x").since(3)
	next := l.grow(2, "b").since(3)
	if _, err := two.Add(next); err != nil {
		t.Errorf("the other process, of what comes next: %v", err)
	}
	if _, err := one.Add(lie); !errors.Is(err, ErrDisproved) {
		t.Errorf("the first, of another history: %v", err)
	}
	if err := os.WriteFile(one.file(origin), before, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*Witness{one, two} {
		if _, err := w.Add(lie); err == nil {
			t.Error("an older file was put back, and another history was cosigned")
		}
	}
	if err := os.Remove(one.file(origin)); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*Witness{one, two} {
		if _, err := w.Add(l.other().grow(9, "x").since(0)); err == nil {
			t.Error("the file was removed, and another history was cosigned")
		}
	}
}
