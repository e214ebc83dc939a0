package witness

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

// TestKilledThenCut kills a witness at every operation, has the next process
// asked for the same again, and then cuts the power: what the second handed out
// was read from a file whose name the first may not have made durable.
func TestKilledThenCut(t *testing.T) {
	l := newFork(t, origin).grow(3, "a")
	first := l.since(0)
	l.grow(2, "b")
	second, again := l.since(3), l.since(5)
	clean := newDisk(t)
	w := reopen(t, clean, l)
	if _, err := w.Add(first); err != nil {
		t.Fatal(err)
	}
	from := len(clean.Ops())
	if _, err := w.Add(second); err != nil {
		t.Fatal(err)
	}
	stages := clean.Ops()[from:]
	repeated := false
	for n, stage := range stages {
		f := newDisk(t)
		w := reopen(t, f, l)
		if _, err := w.Add(first); err != nil {
			t.Fatal(err)
		}
		f.BreakNth(n, disktest.Dead)
		if _, err := w.Add(second); err == nil {
			t.Fatalf("%s: a dead process cosigned", stage)
		}
		next := f.Kill()
		if _, err := reopen(t, next, l).Add(again); err != nil {
			continue // it does not know of 5 entries
		}
		repeated = true
		lie := l.other().grow(3, "a").grow(2, "x").since(3)
		if _, err := reopen(t, next.Cut(), l).Add(lie); err == nil {
			t.Errorf("killed at %q: it cosigned 5 entries and, after a power cut, 5 others", stage)
		}
	}
	if !repeated || !strings.HasPrefix(stages[len(stages)-1], "syncdir") {
		t.Errorf("the moment between a new name and its sync was not there: %q", stages)
	}
}
