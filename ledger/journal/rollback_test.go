package journal

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/ledger"
)

// TestJournalSetBack: seals that are lost, emptied or cut would silently bring
// back a past in which nobody was revoked. The log remembers how many there were.
func TestJournalSetBack(t *testing.T) {
	seals := filepath.Join(testDir, sealsName)
	for name, damage := range map[string]func(*testing.T, *world){
		"seals lost": func(t *testing.T, w *world) {
			if err := w.fs.Remove(seals); err != nil {
				t.Fatal(err)
			}
		},
		"seals emptied": func(_ *testing.T, w *world) { w.fs.Corrupt(seals, func([]byte) []byte { return nil }) },
		"last seal cut": func(_ *testing.T, w *world) { w.fs.Corrupt(seals, func(b []byte) []byte { return b[:len(b)/2] }) },
		"log set back":  func(_ *testing.T, w *world) { w.log = w.log[:len(w.log)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			w := sealedTwice(t)
			damage(t, w)
			j, err := w.open(nil)
			if err == nil {
				j.Close()
			}
			if !errors.Is(err, ErrRolledBack) {
				t.Errorf("open: %v, want %v", err, ErrRolledBack)
			}
		})
	}
	t.Run("undamaged", func(t *testing.T) {
		w := sealedTwice(t)
		j, err := w.open(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// sealedTwice returns a world whose journal holds two sealed segments.
func sealedTwice(t *testing.T) *world {
	w := newWorld()
	j, err := w.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := j.Append(t.Context(), ledger.KindTag, tag(i)); err != nil {
			t.Fatal(err)
		}
		if err := j.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}
