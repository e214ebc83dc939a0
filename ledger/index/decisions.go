package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A DecisionQuery asks which hosts were told what. Fields that are set must
// all hold.
type DecisionQuery struct {
	Within     Products // the asker may see these; nil: all
	Product    string   // product id
	Repository string
	Host       string // host id
	Artifact   attest.Digest
	Allow      *bool
	Range
}

// A DecisionPage is decisions, newest first.
type DecisionPage struct {
	SchemaVersion int        `json:"schemaVersion"`
	AsOf          AsOf       `json:"asOf"`
	Decisions     []Decision `json:"decisions"`
	Cursor        string     `json:"cursor,omitzero"` // of the next page; absent on the last
}

// A Decision is one recorded decision.
type Decision struct {
	SchemaVersion  int       `json:"schemaVersion"`
	Sequence       int64     `json:"sequence"` // of its journal record
	Time           time.Time `json:"time"`     // journal time
	Product        string    `json:"product"`  // that the repository served then
	HostName       string    `json:"hostName"` // the host's label
	LaterUses      int64     `json:"laterUses"`
	ledger.Decided `json:",inline"`
}

// Decisions returns recorded decisions, newest first.
func (x *Index) Decisions(ctx context.Context, q DecisionQuery) (*DecisionPage, error) {
	answer := &DecisionPage{SchemaVersion: SchemaVersion, Decisions: []Decision{}}
	err := x.look(ctx, func(v *view) error {
		p, err := v.page(q.Range, "decisions", q.Within == nil, q.Within, q.Product, q.Repository, q.Host, q.Artifact, choice(q.Allow))
		if err != nil {
			return err
		}
		answer.AsOf = p.asOf
		return v.decisions(&q, p, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func choice(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}

// condition is what q asks of the decision table d.
func (q *DecisionQuery) condition(p *page) (*where, error) {
	w := new(where)
	w.and("d.sequence <= ?", p.asOf.Sequence)
	if p.after != "" {
		after, err := strconv.ParseInt(p.after, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: cursor: %w", ErrQuestion, err)
		}
		w.and("d.sequence < ?", after)
	}
	w.in("d.product", q.Within)
	if q.Product != "" {
		w.and("d.product = ?", q.Product)
	}
	if q.Repository != "" {
		w.and("d.repository = ?", q.Repository)
	}
	if q.Host != "" {
		w.and("d.host = ?", q.Host)
	}
	if q.Artifact != "" {
		w.and("d.artifact = ?", sum(q.Artifact))
	}
	if q.Allow != nil {
		w.and("d.allow = ?", *q.Allow)
	}
	return w, nil
}

func (v *view) decisions(q *DecisionQuery, p *page, answer *DecisionPage) error {
	w, err := q.condition(p)
	if err != nil {
		return err
	}
	query := "SELECT d.product, r.canonical FROM decision d JOIN record r ON r.sequence = d.sequence WHERE " +
		w.String() + " ORDER BY d.sequence DESC LIMIT ?"
	more := false
	err = v.each(query, append(w.args, p.limit+1), func(row func(...any) error) error {
		if more = len(answer.Decisions) == p.limit; more {
			return nil
		}
		d, err := scanDecision(row)
		if err == nil {
			answer.Decisions = append(answer.Decisions, d)
		}
		return err
	})
	if err != nil {
		return err
	}
	for i := range answer.Decisions {
		if err := v.complete(&answer.Decisions[i], p.asOf); err != nil {
			return err
		}
	}
	if more {
		last := answer.Decisions[len(answer.Decisions)-1].Sequence
		answer.Cursor, err = p.next(strconv.FormatInt(last, 10))
	}
	return err
}

func scanDecision(row func(...any) error) (Decision, error) {
	d := Decision{SchemaVersion: SchemaVersion}
	var canonical []byte
	if err := row(&d.Product, &canonical); err != nil {
		return d, err
	}
	r, err := ledger.ParseRecord(canonical)
	if err != nil {
		return d, err
	}
	body, err := ledger.Decode[ledger.Decided](r)
	if err != nil {
		return d, err
	}
	d.Sequence, d.Time, d.Decided = r.Sequence, r.Time, *body
	return d, nil
}

// complete adds what other records say about a decision.
func (v *view) complete(d *Decision, asOf AsOf) error {
	err := v.tx.QueryRowContext(v.ctx, "SELECT coalesce(sum(uses), 0) FROM uses WHERE decision = ? AND sequence <= ?",
		d.Decision, asOf.Sequence).Scan(&d.LaterUses)
	if err != nil {
		return err
	}
	err = v.tx.QueryRowContext(v.ctx, "SELECT name FROM host WHERE host = ? AND sequence <= ? ORDER BY sequence DESC LIMIT 1",
		d.Host, asOf.Sequence).Scan(&d.HostName)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
