package journal

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestStats: what waits to be sealed is known by its number and its age, open
// or sealed, also while sealing fails.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := w.mustOpen(t)
		stats := func(want Stats) {
			t.Helper()
			if got, err := j.Stats(); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
		stats(Stats{})
		first := mustAppend(t, j, 0)
		time.Sleep(300 * time.Millisecond)
		mustAppend(t, j, 1)
		stats(Stats{Records: 2, Oldest: first.Time})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		stats(Stats{Records: 2, Sealed: 2})
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
