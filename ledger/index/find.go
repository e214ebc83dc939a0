package index

import (
	"context"
	"database/sql"
	"errors"
)

// FindDecision returns where in the journal a decision is recorded; false where
// the index knows none of that id.
func (x *Index) FindDecision(ctx context.Context, id string) (sequence int64, ok bool, err error) {
	err = x.look(ctx, func(v *view) error {
		err := v.tx.QueryRowContext(v.ctx, "SELECT sequence FROM decision WHERE decision = ?", id).Scan(&sequence)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok = err == nil
		return err
	})
	return sequence, ok, err
}
