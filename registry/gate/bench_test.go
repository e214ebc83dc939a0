package gate_test

import (
	"context"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/journal"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// leaves is a log that numbers what it gets.
type leaves struct{ n atomic.Int64 }

func (l *leaves) Add(context.Context, []byte, *attest.PublicKey) (int64, error) {
	return l.n.Add(1) - 1, nil
}

func (l *leaves) Count(attest.Digest) int64 { return l.n.Load() }

func onDisk(b *testing.B) *journal.Journal {
	b.Helper()
	st, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	j, err := journal.Open(b.TempDir(), st, statetest.NewKey(b).Sign(b), new(leaves), func(ledger.Record) error { return nil }, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	return j
}

// fitting returns a house with a patch and a host it fits, at the time of the
// clock.
func fitting(b testing.TB) (*statetest.House, *verifytest.World, string) {
	b.Helper()
	h := statetest.New(b)
	p := h.TrustPolicy(h.Product)
	p.Version, p.Expires = 2, time.Now().UTC().AddDate(1, 0, 0).Truncate(time.Second)
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{h.Root.Public.Base64()}}
	h.Trust(p)
	w := h.Publish("fits")
	w.Record.Time = time.Now().UTC().Truncate(time.Second)
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	return h, w, host
}

// BenchmarkFirstDecision measures a decision with its durable record.
func BenchmarkFirstDecision(b *testing.B) {
	h, w, host := fitting(b)
	g := gate.New(h.State, onDisk(b), nil)
	b.Cleanup(func() { _ = g.Close() })
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		v, err := g.Decide(b.Context(), host, repo, w.PatchManifest)
		took = append(took, time.Since(start))
		if err != nil || !v.Allow {
			b.Fatalf("%+v, %v", v, err)
		}
		gate.Forget(g)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// standing returns a question whose answer is on record.
func standing(b testing.TB) (ask func()) {
	h, w, host := fitting(b)
	g := gate.New(h.State, h.Journal, nil)
	b.Cleanup(func() { _ = g.Close() })
	ask = func() {
		if v, err := g.Decide(b.Context(), host, repo, w.PatchManifest); err != nil || !v.Allow {
			b.Errorf("%+v, %v", v, err)
		}
	}
	ask()
	return ask
}

// A standing answer is asked for by every request: it makes no garbage.
func TestStandingDecisionAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(1000, standing(t)); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// spent returns the processor time of this process: where others share the
// machine, the time of day counts their work too.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStandingDecision measures a decision that is on record: what every
// request of a host costs but its first. The goal is half a microsecond.
func BenchmarkStandingDecision(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		ask := standing(b)
		b.ReportAllocs()
		start := spent(b)
		for b.Loop() {
			ask()
		}
		b.ReportMetric(float64(spent(b)-start)/float64(b.N), "cpu-ns/op")
	})
	b.Run("many", func(b *testing.B) { // at once, of the same answer
		ask := standing(b)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				ask()
			}
		})
	})
}
