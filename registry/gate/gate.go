// Package gate answers whether a host may have an artifact, and lets nothing
// out before the answer is on record. docs/spec/registry.md, "Decisions".
//
// What is remembered is that an answer was recorded: for one host and one
// artifact, as long as the host record, the trust policy, the site policy, the
// evidence and the answer itself stay what they were, and at most [MaxAge]. The
// first use of an answer waits until its record is durable, all others that come
// in the meantime wait with it, and an allow is asked once more after that wait.
// Later uses are counted, and the counts recorded at most once a minute.
//
// The rules are evaluated whenever something changed that they could look at,
// or the moment has come at which the time could make it another answer. Until
// then an answer that is on record stands: see span.
//
// Where the journal takes no records, nothing is allowed; a denial still goes
// out, without an id.
package gate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

const (
	// MaxAge is how long a recorded answer is used before it is recorded anew.
	MaxAge = 15 * time.Minute
	// CountEvery is how often the uses of one answer are recorded at most.
	CountEvery = time.Minute

	appendTimeout = 30 * time.Second // of one record; the journal needs one fsync
	attempts      = 4                // to have an allow on record that still is one
)

// ErrNotRecorded reports that an allow could not be recorded, and so is none.
var ErrNotRecorded = errors.New("the decision could not be recorded")

// A Source has the facts. [state.State] is one.
type Source interface {
	View(host, repository string, d attest.Digest, now time.Time) (state.View, bool)
	// Grounds tells whether View would have the same facts as it had before.
	Grounds(host, repository string, d attest.Digest) (state.Grounds, bool)
}

// A Journal records decisions. When Append returns nil the record is durable.
type Journal interface {
	Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error)
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // of the background work; nil: silent
}

// A Verdict is a decision and the id it is recorded under; "" where it is not
// recorded, which an allow of [Gate.Decide] always is.
type Verdict struct {
	ID string // "d-" and 26 characters
	policy.Decision
}

// A Gate decides for hosts. It is safe for concurrent use.
type Gate struct {
	source  Source
	journal Journal
	logger  *slog.Logger
	quit    context.CancelFunc
	running sync.WaitGroup
	tally   tally

	mu      sync.Mutex
	answers map[question]*answer
	retired []*answer // replaced ones with uses not recorded yet
}

// New returns a gate that decides on the facts of s and records in j. Close it
// before the journal.
func New(s Source, j Journal, o *Options) *Gate {
	g := &Gate{source: s, journal: j, logger: slog.New(slog.DiscardHandler), answers: make(map[question]*answer), tally: tally{denied: byReason()}}
	if o != nil && o.Logger != nil {
		g.logger = o.Logger
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.quit = cancel
	g.running.Go(func() { g.count(ctx) })
	return g
}

// Close records the uses counted so far and stops the background work.
// Questions can still be asked; nobody counts their uses any more.
func (g *Gate) Close() error {
	g.quit()
	g.running.Wait()
	return g.flush(context.Background())
}

// Evaluate answers without recording: for lists and explanations, never for
// bytes.
func (g *Gate) Evaluate(host, repository string, d attest.Digest) policy.Decision {
	return g.ask(question{host, repository, d}).decision
}

// Decide answers for host and the artifact with manifest digest d in
// repository, and returns when the answer is on record. An error means that
// the answer would have been an allow and could not be recorded
// ([ErrNotRecorded]), or that ctx ended first: nothing may go out.
func (g *Gate) Decide(ctx context.Context, host, repository string, d attest.Digest) (Verdict, error) {
	v, err := g.decide(ctx, question{host, repository, d})
	g.tally.note(&v, err)
	return v, err
}

func (g *Gate) decide(ctx context.Context, q question) (Verdict, error) {
	if v, ok := g.standing(q); ok {
		return v, nil
	}
	for range attempts {
		now := g.ask(q)
		if !now.asked {
			return Verdict{Decision: now.decision}, nil
		}
		a, first := g.answerTo(q, now)
		if first {
			g.record(ctx, a)
		}
		waited := first || !a.isSettled()
		if waited {
			select {
			case <-a.settled:
			case <-ctx.Done():
				return Verdict{}, ctx.Err()
			}
		}
		if a.err != nil && now.decision.Allow {
			return Verdict{}, errors.Join(ErrNotRecorded, a.err)
		}
		if !waited || !now.decision.Allow || g.ask(q).like(now) {
			return Verdict{ID: a.id, Decision: a.decision}, nil
		}
	}
	return Verdict{}, errors.Join(ErrNotRecorded, errors.New("what it stands on keeps changing"))
}

// A question is for one host and one artifact.
type question struct {
	host, repository string
	artifact         attest.Digest
}

// inputs are what makes it another decision when it changes.
type inputs struct {
	record, epoch int64
	policy, site  attest.Digest
}

// An outcome is what the facts say at one moment.
type outcome struct {
	inputs
	span     span
	asked    bool // there was something to decide on
	decision policy.Decision
	facts    *policy.Facts
	at       time.Time
}

// ask decides on the facts of now. Nothing to decide on denies.
func (g *Gate) ask(q question) outcome {
	now := time.Now()
	v, ok := g.source.View(q.host, q.repository, q.artifact, now)
	if !ok {
		return outcome{decision: nothing, at: now}
	}
	return outcome{
		inputs: inputs{record: v.Record, epoch: v.Epoch, policy: v.Policy, site: v.Facts.Site.Digest()},
		span:   span{v.Grounds, now.Round(0), v.Facts.Until(MaxAge)},
		asked:  true, decision: policy.Decide(v.Facts), facts: v.Facts, at: now,
	}
}

// nothing is the decision where there is nothing to decide on. It is not
// changed.
var nothing = policy.Decision{Reasons: []policy.Finding{{
	Reason: verify.NoAttestation, Rule: "visible", Want: "a live patch that is in this product, now", Got: "(none)",
	Remedy: "ask for a patch of this product: patchfit-agent status lists what the host may have",
}}}

// like reports whether b is the same decision as a: of the same inputs, with
// the same outcome of every rule. What findings tell of the time of day may
// differ.
func (a outcome) like(b outcome) bool {
	if a.asked != b.asked || a.inputs != b.inputs || a.decision.Allow != b.decision.Allow || a.decision.Basis != b.decision.Basis {
		return false
	}
	return alike(a.decision.Reasons, b.decision.Reasons) && alike(a.decision.Warnings, b.decision.Warnings)
}

func alike(x, y []policy.Finding) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i].Rule != y[i].Rule || x[i].Reason != y[i].Reason || x[i].Evidence != y[i].Evidence {
			return false
		}
	}
	return true
}
