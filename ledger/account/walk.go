package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

// A Server answers an auditor of the whole server.
type Server interface {
	// Account returns a page that begins with the leaf from of a log.
	Account(ctx context.Context, log string, from uint64) (*Page, error)
	// AccountOf returns the row of a statement's record; nil: there is none.
	AccountOf(ctx context.Context, record int64) (*Row, error)
	// Records returns canonical journal records from sequence from on, some of
	// them, in order; none: there are no more.
	Records(ctx context.Context, from int64) ([][]byte, error)
}

// A Walked is a log, as it was verified, and where it is read.
type Walked struct {
	Key        ledger.LogKey
	Checkpoint *client.Checkpoint
	Log        *client.Client
}

// Options of a comparison.
type Options struct {
	// Journals are the keys that may have signed the journal's segments. Nil: any
	// one key.
	Journals []attest.Digest
	// Visit is told of each leaf of each log. Nil: nobody is.
	Visit func(cp *client.Checkpoint, index uint64)
}

// A walk is one comparison.
type walk struct {
	server Server
	check  *Check
	log    string
	page   *Page
	rows   int // of page, which are taken
	segs   int
}

// Compare reads all logs of a server, oldest first, each from its first leaf to
// its last, as [client.Client]'s VerifyLog does, and the server's account beside
// them. The result counts only without an error.
func Compare(ctx context.Context, logs []Walked, s Server, o *Options) (*Result, error) {
	if o == nil {
		o = new(Options)
	}
	var all []Log
	for _, l := range logs {
		id, err := l.Key.ID()
		if err != nil {
			return nil, err
		}
		all = append(all, Log{l.Checkpoint.Origin, id})
	}
	if len(all) == 0 {
		return nil, errors.New("there is no log to compare the index with")
	}
	w := &walk{server: s, check: NewCheck(all...)}
	w.check.journals = o.Journals
	for i, l := range logs {
		if i > 0 {
			w.check.Next()
		}
		w.log, w.page = l.Checkpoint.Origin, nil
		if err := w.along(ctx, l, o.Visit); err != nil {
			return nil, err
		}
	}
	if err := w.unsealed(ctx); err != nil {
		return nil, err
	}
	return w.check.End(), nil
}

func (w *walk) along(ctx context.Context, l Walked, visit func(*client.Checkpoint, uint64)) error {
	_, err := l.Log.Follow(ctx, l.Checkpoint, nil, client.Following{Visit: func(index uint64, leaf []byte) error {
		if visit != nil {
			visit(l.Checkpoint, index)
		}
		return w.leaf(ctx, index, leaf)
	}})
	return err
}

func (w *walk) leaf(ctx context.Context, index uint64, leaf []byte) error {
	if w.page == nil || index >= w.page.To {
		if err := w.turn(ctx, index); err != nil {
			return err
		}
	}
	rows, segments := w.take(index)
	s := w.check.Leaf(index, leaf, rows, segments)
	if s == nil {
		return nil
	}
	records, err := w.records(ctx, s.First, s.Last)
	if err != nil {
		return err
	}
	for _, sequence := range w.check.Lacking(records) {
		row, err := w.server.AccountOf(ctx, sequence)
		if err != nil {
			return fmt.Errorf("reading the row of record %d: %w", sequence, err)
		}
		if row != nil && row.Record == sequence {
			w.check.Late(row)
		}
	}
	w.check.Segment(s, records)
	return nil
}

// turn reads the page that begins with a leaf.
func (w *walk) turn(ctx context.Context, index uint64) (err error) {
	if w.page, err = w.server.Account(ctx, w.log, index); err != nil {
		return fmt.Errorf("reading the account of leaf %d: %w", index, err)
	}
	if w.page.Log != "" && w.page.Log != w.log {
		return fmt.Errorf("the server answers for the log %.80q, asked for %s", w.page.Log, w.log)
	}
	if w.page.From != index || w.page.To <= index {
		return fmt.Errorf("the server answers with leaves %d to %d, asked for those from %d on", w.page.From, w.page.To, index)
	}
	w.rows, w.segs = 0, 0
	return nil
}

// take returns what the page has of a leaf. Its lists are in order, so what is
// before the leaf was skipped by the server: it belongs to no leaf, and comes
// with this one, which it is not.
func (w *walk) take(index uint64) ([]Row, []Segment) {
	r, s := w.rows, w.segs
	for w.rows < len(w.page.Statements) && w.page.Statements[w.rows].Index <= int64(index) {
		w.rows++
	}
	for w.segs < len(w.page.Segments) && w.page.Segments[w.segs].Index <= int64(index) {
		w.segs++
	}
	return w.page.Statements[r:w.rows], w.page.Segments[s:w.segs]
}

// records returns the server's records from first to last, as far as it has
// them.
func (w *walk) records(ctx context.Context, first, last int64) (all [][]byte, err error) {
	for next := first; next <= last; {
		some, err := w.server.Records(ctx, next)
		if err != nil {
			return nil, fmt.Errorf("reading journal record %d: %w", next, err)
		}
		if len(some) == 0 {
			break
		}
		all = append(all, some[:min(int64(len(some)), last-next+1)]...)
		next += int64(len(some))
	}
	return all, nil
}

// unsealed asks for the records of the rows that are left.
func (w *walk) unsealed(ctx context.Context) error {
	for next := w.check.Sealed() + 1; w.check.Open(); {
		some, err := w.server.Records(ctx, next)
		if err != nil {
			return fmt.Errorf("reading journal record %d: %w", next, err)
		}
		if len(some) == 0 {
			return nil
		}
		w.check.Unsealed(some)
		next += int64(len(some))
	}
	return nil
}
