package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
)

// An answer is a decision that is recorded, or about to be.
type answer struct {
	outcome
	question
	evidence []attest.Digest
	id       string        // "" where recording failed
	settled  chan struct{} // closed when it is known whether it is recorded
	err      error         // why it is not
	uses     int64         // since its last record; Gate.mu
}

func (a *answer) isSettled() bool {
	select {
	case <-a.settled:
		return true
	default:
		return false
	}
}

// answerTo returns the answer that stands for what the facts say now, and
// whether the caller is the first to use it and so has to record it.
func (g *Gate) answerTo(q question, now outcome) (a *answer, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.answers[q]
	if old != nil && old.like(now) && now.at.Sub(old.at) < MaxAge {
		old.uses++
		old.span = now.span
		return old, false
	}
	g.retire(old)
	a = &answer{outcome: now, question: q, evidence: now.facts.Evidence(), settled: make(chan struct{})}
	a.facts = nil // an answer outlives what it was made from
	g.answers[q] = a
	return a, true
}

// retire keeps what is still to be recorded of an answer that is replaced.
// Gate.mu is held.
func (g *Gate) retire(a *answer) {
	if a != nil && a.uses > 0 {
		g.retired = append(g.retired, a)
	}
}

// record makes a durable, or finds that it cannot. Who asked may go away in the
// meantime; others wait for the same record.
func (g *Gate) record(ctx context.Context, a *answer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	id := newID(a.at)
	_, err := g.journal.Append(ctx, ledger.KindDecision, a.body(id))
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.err = err; err == nil {
		a.id = id
	} else if g.answers[a.question] == a {
		delete(g.answers, a.question)
	}
	close(a.settled)
}

func (a *answer) body(id string) ledger.Decided {
	d := ledger.Decided{
		Decision: id, Host: a.host, Repository: a.repository, Artifact: a.artifact,
		Allow: a.decision.Allow, Basis: a.decision.Basis, Reasons: []ledger.Finding{},
		Record: a.inputs.record, Policy: a.policy, Site: a.site, Epoch: a.epoch, Evidence: a.evidence,
	}
	if d.Evidence == nil {
		d.Evidence = []attest.Digest{}
	}
	for _, f := range a.decision.Reasons {
		d.Reasons = append(d.Reasons, recorded(f))
	}
	for _, f := range a.decision.Warnings {
		d.Warnings = append(d.Warnings, recorded(f))
	}
	return d
}

func recorded(f policy.Finding) ledger.Finding {
	return ledger.Finding{Reason: string(f.Reason), Rule: f.Rule, Want: f.Want, Got: f.Got, Evidence: f.Evidence, Remedy: f.Remedy}
}

// count records the uses of every answer, once in a while, and forgets answers
// that are too old to be used.
func (g *Gate) count(ctx context.Context) {
	tick := time.NewTicker(CountEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := g.flush(ctx); err != nil && ctx.Err() == nil {
			g.logger.Error("uses of decisions are not recorded yet", "error", err)
		}
		g.forget(time.Now())
	}
}

// flush records the uses counted since the last time. What could not be
// recorded is counted on.
func (g *Gate) flush(ctx context.Context) error {
	for _, u := range g.counted() {
		if _, err := g.journal.Append(ctx, ledger.KindUses, ledger.DecisionUses{Decision: u.id, Uses: u.uses}); err != nil {
			return fmt.Errorf("recording uses of decision %s: %w", u.id, err)
		}
		g.mu.Lock()
		u.answer.uses -= u.uses
		g.mu.Unlock()
	}
	return nil
}

type counted struct {
	*answer
	uses int64
}

// counted returns the recorded answers with uses to record.
func (g *Gate) counted() []counted {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []counted
	for _, a := range g.retired {
		if a.id != "" && a.uses > 0 {
			all = append(all, counted{a, a.uses})
		}
	}
	for _, a := range g.answers {
		if a.id != "" && a.uses > 0 {
			all = append(all, counted{a, a.uses})
		}
	}
	return all
}

// forget drops answers too old to be used, and retired ones whose uses are
// recorded.
func (g *Gate) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for q, a := range g.answers {
		if now.Sub(a.at) >= MaxAge && a.isSettled() {
			g.retire(a)
			delete(g.answers, q)
		}
	}
	kept := g.retired[:0]
	for _, a := range g.retired {
		if a.uses > 0 && a.err == nil {
			kept = append(kept, a)
		}
	}
	clear(g.retired[len(kept):])
	g.retired = kept
}
