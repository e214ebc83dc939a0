package index

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A RecordQuery asks for journal records.
type RecordQuery struct {
	From  int64 // sequence of the first one; 0: the first there is
	Limit int   // 0: DefaultLimit; at most MaxLimit
}

// A RecordPage is journal records in order.
type RecordPage struct {
	SchemaVersion int              `json:"schemaVersion"`
	AsOf          AsOf             `json:"asOf"`
	Records       []RecordEnvelope `json:"records"`
	Next          int64            `json:"next,omitzero"` // From of the next page; absent on the last
}

// A RecordEnvelope is one record and its salted leaf hash, the leaf of its
// segment's Merkle tree.
type RecordEnvelope struct {
	SchemaVersion int            `json:"schemaVersion"`
	Leaf          attest.Digest  `json:"leaf"`
	Record        jsontext.Value `json:"record"` // canonical, as it was sealed
}

// Records returns journal records by sequence.
func (x *Index) Records(ctx context.Context, q RecordQuery) (*RecordPage, error) {
	if q.From < 0 {
		return nil, fmt.Errorf("%w: from %d", ErrQuestion, q.From)
	}
	answer := &RecordPage{SchemaVersion: SchemaVersion, Records: []RecordEnvelope{}}
	err := x.look(ctx, func(v *view) error {
		p, err := v.page(Range{Limit: q.Limit})
		if err != nil {
			return err
		}
		answer.AsOf = p.asOf
		return v.records(q.From, p.limit, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (v *view) records(from int64, limit int, answer *RecordPage) error {
	query := "SELECT sequence, canonical FROM record WHERE sequence >= ? ORDER BY sequence LIMIT ?"
	return v.each(query, []any{from, limit + 1}, func(row func(...any) error) error {
		var sequence int64
		var canonical []byte
		if err := row(&sequence, &canonical); err != nil {
			return err
		}
		if len(answer.Records) == limit {
			answer.Next = sequence
			return nil
		}
		answer.Records = append(answer.Records, RecordEnvelope{
			SchemaVersion: SchemaVersion,
			Leaf:          attest.DigestFromSum(ledger.LeafHash(canonical)),
			Record:        canonical,
		})
		return nil
	})
}
