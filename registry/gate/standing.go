package gate

import (
	"time"

	"github.com/patchfit/patchfit/registry/state"
)

// A span is when the rules need not be asked again: while the facts are those
// of grounds, and the clock is in [from, until). Neither has anything to do with
// what the clock of the process counted: what the facts tell the time of is the
// clock that may be set.
type span struct {
	grounds     state.Grounds
	from, until time.Time
}

func (s *span) has(g state.Grounds, now time.Time) bool {
	return s.grounds == g && !now.Before(s.from) && now.Before(s.until)
}

// standing returns the answer that is on record and that the rules would give
// again, and counts its use.
func (g *Gate) standing(q question) (Verdict, bool) {
	grounds, ok := g.source.Grounds(q.host, q.repository, q.artifact)
	if !ok {
		return Verdict{}, false
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.answers[q]
	if a == nil || a.id == "" || !a.span.has(grounds, now) || now.Sub(a.at) >= MaxAge {
		return Verdict{}, false
	}
	a.uses++
	return Verdict{ID: a.id, Decision: a.decision}, true
}
