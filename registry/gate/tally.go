package gate

import (
	"sync/atomic"

	"github.com/patchfit/patchfit/verify"
)

// A Tally counts answers since the start, each use of a remembered one too.
type Tally struct {
	Allowed    uint64
	Unrecorded uint64                   // allows that could not be recorded, and so were none
	Denied     map[verify.Reason]uint64 // by the leading reason
}

// tally counts without a lock and without allocating: it is on the way of every
// byte a host reads.
type tally struct {
	allowed, unrecorded atomic.Uint64
	denied              map[verify.Reason]*atomic.Uint64 // not changed once made
}

func byReason() map[verify.Reason]*atomic.Uint64 {
	counts := make(map[verify.Reason]*atomic.Uint64)
	for _, r := range verify.Reasons() {
		counts[r] = new(atomic.Uint64)
	}
	return counts
}

func (t *tally) note(v *Verdict, err error) {
	switch {
	case err != nil:
		t.unrecorded.Add(1)
	case v.Allow:
		t.allowed.Add(1)
	case len(v.Reasons) > 0:
		if n := t.denied[v.Reasons[0].Reason]; n != nil {
			n.Add(1)
		}
	}
}

// Tally returns the counts so far.
func (g *Gate) Tally() Tally {
	t := Tally{Allowed: g.tally.allowed.Load(), Unrecorded: g.tally.unrecorded.Load(), Denied: make(map[verify.Reason]uint64, len(g.tally.denied))}
	for r, n := range g.tally.denied {
		t.Denied[r] = n.Load()
	}
	return t
}
