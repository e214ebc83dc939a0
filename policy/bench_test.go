package policy_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
)

// An allow is decided for every request of every host: it makes no garbage.
func TestAllowAllocatesNothing(t *testing.T) {
	_, _, f := good(t)
	allow := true
	if n := testing.AllocsPerRun(1000, func() { allow = allow && policy.Decide(f).Allow }); n != 0 || !allow {
		t.Errorf("%v allocations, allowed %t", n, allow)
	}
}

// BenchmarkDecide is the gate's path: an allow on facts in memory. The goal is
// under 1 µs, without an allocation.
func BenchmarkDecide(b *testing.B) {
	s, w, f := good(b)
	b.Run("allow", func(b *testing.B) { decide(b, f, true) })
	for i := range 100 {
		s.revoke(b, attest.RevokeSubject, attest.DigestOf(fmt.Append(nil, i)))
	}
	f = s.facts(b, w, w)
	b.Run("allow-100-revocations", func(b *testing.B) { decide(b, f, true) })
	f.Host.Record.Target.ABI = "gnu"
	b.Run("deny", func(b *testing.B) { decide(b, f, false) })
}

func decide(b *testing.B, f *policy.Facts, allow bool) {
	b.ReportAllocs()
	start := spent(b)
	for b.Loop() {
		if policy.Decide(f).Allow != allow {
			b.Fatal(policy.Decide(f))
		}
	}
	b.ReportMetric(float64(spent(b)-start)/float64(b.N), "cpu-ns/op")
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
