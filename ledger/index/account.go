package index

import (
	"context"
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/account"
)

// An AccountQuery asks what is known of leaves of the log.
type AccountQuery struct {
	From   uint64 // the first leaf
	Limit  int    // of leaves; 0: DefaultLimit; at most MaxLimit
	Record int64  // ask for the row of this record in their place
}

// maxRows is how many rows one page has: the same bundle may have been admitted
// to many repositories.
const maxRows = 2000

const accountColumns = `SELECT sequence, log_index, repository, product, type, subject, file, payload, bundle, referrer, signer, builder, signed, by
	FROM statement WHERE `

// Account returns the rows of some leaves, without their bundles, by leaf and
// record. It says of each row what the table has, and checks nothing: that is
// for whoever asks.
func (x *Index) Account(ctx context.Context, q AccountQuery) (*account.Page, error) {
	if q.From > 1<<53 || q.Record < 0 {
		return nil, fmt.Errorf("%w: leaf %d, record %d", ErrQuestion, q.From, q.Record)
	}
	answer := &account.Page{SchemaVersion: SchemaVersion, From: q.From, Statements: []account.Row{}, Segments: []account.Segment{}}
	err := x.look(ctx, func(v *view) error {
		p, err := v.page(Range{Limit: q.Limit})
		if err != nil {
			return err
		}
		answer.Sequence = p.asOf.Sequence
		if q.Record > 0 {
			return v.account(answer, "sequence = ?", q.Record)
		}
		answer.To = q.From + uint64(p.limit)
		return v.account(answer, fmt.Sprintf("log_index >= ? AND log_index < ? ORDER BY log_index, sequence LIMIT %d", maxRows+1), q.From, answer.To)
	})
	if err != nil {
		return nil, err
	}
	return answer, whole(answer)
}

func (v *view) account(answer *account.Page, where string, args ...any) error {
	return v.each(accountColumns+where, args, func(row func(...any) error) error {
		r := account.Row{SchemaVersion: SchemaVersion}
		var subject, file, payload, bundle, referrer, signer []byte
		var signed int64
		err := row(&r.Record, &r.Index, &r.Repository, &r.Product, &r.Type, &subject, &file, &payload, &bundle, &referrer, &signer, &r.BuilderID, &signed, &r.By)
		if err != nil {
			return err
		}
		for to, raw := range map[*attest.Digest][]byte{
			&r.Subject: subject, &r.File: file, &r.Payload: payload, &r.Bundle: bundle, &r.Referrer: referrer, &r.Signer: signer,
		} {
			*to = digest(raw)
		}
		r.Signed = when(signed)
		answer.Statements = append(answer.Statements, r)
		return nil
	})
}

// whole ends a page that has too many rows before the leaf that not all rows of
// are in it.
func whole(answer *account.Page) error {
	if len(answer.Statements) <= maxRows {
		return nil
	}
	return Cut(answer, maxRows)
}

// Cut ends a page before the leaf of its row n.
func Cut(answer *account.Page, n int) error {
	end := answer.Statements[n].Index
	if end <= int64(answer.From) {
		return fmt.Errorf("reading the index: leaf %d has more than %d rows", end, n)
	}
	for n > 0 && answer.Statements[n-1].Index == end {
		n--
	}
	answer.To, answer.Statements = uint64(end), answer.Statements[:n]
	return nil
}
