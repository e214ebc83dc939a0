package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

// script appends and seals, and does what a supervisor does when the journal is
// down: start again. It returns how often something failed.
func (w *world) script(t *testing.T) (failures int) {
	var j *Journal
	start := func() {
		for j = nil; j == nil; {
			var err error
			if j, err = w.open(nil); err != nil {
				failures++
				w.fs = w.fs.Kill()
			}
		}
		synctest.Wait()
	}
	try := func(step func() error) {
		for err := step(); err != nil; err = step() {
			failures++
			if errors.Is(err, ErrDown) {
				_ = j.Close()
				w.fs = w.fs.Kill()
				start()
			}
		}
		synctest.Wait() // one thing after the other, so that runs are alike
	}
	start()
	for i, step := range "aaSaSaa" {
		try(func() error {
			if step == 'S' {
				return j.Seal(t.Context())
			}
			r, err := j.Append(t.Context(), ledger.KindTag, tag(i))
			if err == nil {
				w.acked = append(w.acked, r)
			}
			return err
		})
	}
	_ = j.Close()
	return failures
}

// TestEveryFault breaks each operation on disk, store and log in each way, and
// after each audits what a kill, a power cut and torn power cuts leave.
func TestEveryFault(t *testing.T) {
	var ops []string
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		if n := w.script(t); n != 0 {
			t.Errorf("%d failures without a fault", n)
		}
		ops = w.fs.Ops()
		w.after(w.fs.Kill()).audit(t, "no fault")
	})
	for n, op := range ops {
		for _, fault := range []disktest.Fault{disktest.Fails, disktest.Lies, disktest.Half} {
			if fault == disktest.Half && !strings.HasPrefix(op, "write") {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.fs.BreakNth(n, fault)
				w.script(t)
				w.auditWorlds(t, fmt.Sprintf("operation %d, %s, fault %d", n, op, fault))
			})
		}
	}
}

func (w *world) auditWorlds(t *testing.T, when string) {
	t.Helper()
	w.after(w.fs.Kill()).audit(t, when+", kill")
	w.after(w.fs.Cut()).audit(t, when+", cut")
	for seed := range uint64(2) {
		w.after(w.fs.Torn(rand.New(rand.NewPCG(seed, 2)))).audit(t, fmt.Sprint(when, ", torn ", seed))
	}
}

// TestStopAfterEveryOperation stops the process after each operation and
// audits what a kill, a power cut and torn power cuts leave.
func TestStopAfterEveryOperation(t *testing.T) {
	for n, stopped := 0, true; stopped; n++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			i := 0
			w.fs.Break(func(string) disktest.Fault {
				if i++; i > n {
					return disktest.Dead
				}
				return disktest.None
			})
			w.untilDead(t)
			stopped = i > n
			w.auditWorlds(t, fmt.Sprintf("stopped after operation %d", n))
		})
	}
}

// untilDead appends and seals until something fails.
func (w *world) untilDead(t *testing.T) {
	j, err := w.open(nil)
	if err != nil {
		return
	}
	defer j.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i, step := range "aaSaSa" {
		if step == 'S' {
			err = j.Seal(ctx)
		} else {
			var r ledger.Record
			if r, err = j.Append(ctx, ledger.KindTag, tag(i)); err == nil {
				w.acked = append(w.acked, r)
			}
		}
		if err != nil {
			return
		}
		synctest.Wait()
	}
}

// TestOneLeafAlthoughTheEnvelopeWasNotDurable: the envelope's name is there, but
// its Rename failed, so it is written again before it goes to the log; else a
// power cut would lose it and a second signature become a second leaf.
func TestOneLeafAlthoughTheEnvelopeWasNotDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		lied, logged := false, false
		w.fs.Break(func(op string) disktest.Fault {
			switch {
			case logged:
				return disktest.Dead
			case strings.HasPrefix(op, "rename") && !lied:
				lied = true
				return disktest.Lies
			case strings.HasPrefix(op, "log"):
				logged = true
			}
			return disktest.None
		})
		w.untilDead(t)
		if !lied || !logged {
			t.Fatal("it did not come to that")
		}
		w.auditWorlds(t, "logged")
	})
}
