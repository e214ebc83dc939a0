package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/patchfit/patchfit/test/e2e/lossy"
)

const powerCutRounds = 12

// TestEvidencePowerCut is TestSpineCrash on a disk that loses, each time, what was
// not synced: all of it, or all but the first few changes of a file. Log,
// journal, store, registry and configuration lie on it.
func TestEvidencePowerCut(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "pf")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	lost, err := lossy.Mount(disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lost.Unmount() })

	w := newCrashWorldIn(t, dir)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds(powerCutRounds) {
		w.round(time.Duration(300+random.IntN(1200)) * time.Millisecond)
		var torn *rand.Rand
		if round%2 == 1 {
			torn = random
		}
		if err := lost.Cut(torn); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.audit()
	w.reindex()
	w.kill()
	t.Logf("acknowledged: %d artifacts, %d statements, %d denials, %d pulls", len(w.artifacts), len(w.statements), len(w.denials), w.pulls)
	if len(w.artifacts) == 0 || len(w.statements) == 0 || len(w.denials) == 0 {
		t.Error("nothing was acknowledged, so nothing was shown")
	}
}
