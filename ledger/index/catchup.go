package index

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/patchfit/patchfit/ledger"
)

// batchSize is how many records go into one transaction.
const batchSize = 512

// CatchUp projects every record that src has and the index has not. What it
// did before an error or the end of ctx stays. ErrRebuild: src is another
// journal than the one the index is a projection of.
func (x *Index) CatchUp(ctx context.Context, src Source) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	applied, err := x.sameJournal(ctx, src)
	if err != nil {
		return fmt.Errorf("indexing: %w", err)
	}
	var batch []ledger.Record
	for r, err := range src.Records(applied + 1) {
		if err != nil {
			return fmt.Errorf("indexing: %w", err)
		}
		if batch = append(batch, r); len(batch) < batchSize {
			continue
		}
		if err := x.project(ctx, src, batch); err != nil {
			return fmt.Errorf("indexing: %w", err)
		}
		batch = batch[:0]
	}
	if err := x.project(ctx, src, batch); err != nil {
		return fmt.Errorf("indexing: %w", err)
	}
	return nil
}

// sameJournal returns the newest sequence the index has, after comparing that
// record with the journal's own.
func (x *Index) sameJournal(ctx context.Context, src Source) (int64, error) {
	applied, err := x.Applied(ctx)
	if err != nil || applied == 0 {
		return applied, err
	}
	var have []byte
	if err := x.read.QueryRowContext(ctx, "SELECT canonical FROM record WHERE sequence = ?", applied).Scan(&have); err != nil {
		return 0, fmt.Errorf("%w: record %d: %w", ErrRebuild, applied, err)
	}
	for r, err := range src.Records(applied) {
		if err != nil {
			return 0, err
		}
		want, err := r.Canonical()
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(have, want) {
			return 0, fmt.Errorf("%w: its record %d is not the journal's", ErrRebuild, applied)
		}
		return applied, nil
	}
	return 0, fmt.Errorf("%w: it has record %d, the journal does not", ErrRebuild, applied)
}

// project applies a batch in one transaction.
func (x *Index) project(ctx context.Context, src Source, batch []ledger.Record) error {
	if len(batch) == 0 {
		return nil
	}
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, r := range batch {
		p := &projection{ctx: ctx, tx: tx, src: src, sequence: r.Sequence}
		if err := p.record(r); err != nil {
			return fmt.Errorf("record %d: %w", r.Sequence, err)
		}
	}
	last := batch[len(batch)-1].Sequence
	if _, err := tx.ExecContext(ctx, "UPDATE applied SET sequence = ?", last); err != nil {
		return err
	}
	return tx.Commit()
}

// A projection is one record on its way into the tables.
type projection struct {
	ctx      context.Context
	tx       *sql.Tx
	src      Source
	sequence int64
}

// insert adds a row to table: the record's sequence and values for columns. A
// record that says one thing twice makes one row.
func (p *projection) insert(table, columns string, values ...any) error {
	marks := strings.Repeat(", ?", len(values))
	_, err := p.tx.ExecContext(p.ctx, "INSERT INTO "+table+" (sequence, "+columns+") VALUES (?"+marks+") ON CONFLICT DO NOTHING",
		append([]any{p.sequence}, values...)...)
	return err
}

func (p *projection) record(r ledger.Record) error {
	canonical, err := r.Canonical()
	if err != nil {
		return err
	}
	if err := p.insert("record", "time, kind, canonical", micros(r.Time), string(r.Kind), canonical); err != nil {
		return err
	}
	switch r.Kind {
	case ledger.KindTrustPolicy:
		return with(r, p.trustPolicy)
	case ledger.KindProduct:
		return with(r, p.product)
	case ledger.KindHost:
		return with(r, p.host)
	case ledger.KindHostRecord:
		return with(r, p.hostRecord)
	case ledger.KindManifest:
		return with(r, p.manifest)
	case ledger.KindDelete:
		return with(r, p.deletion)
	case ledger.KindStatement:
		return with(r, p.statement)
	case ledger.KindChannel:
		return with(r, p.channel)
	case ledger.KindLint:
		return with(r, p.linted)
	case ledger.KindDecision:
		return with(r, p.decision)
	case ledger.KindUses:
		return with(r, p.uses)
	case ledger.KindTUF, ledger.KindPrincipal, ledger.KindEnded, ledger.KindGrant, ledger.KindToken, ledger.KindEmbargo, ledger.KindTag, ledger.KindBlob, ledger.KindBlobRemoved:
		return nil // answered from the record itself
	}
	return errors.New("of a kind this version does not know")
}

// with decodes a record's body for the function that projects it.
func with[T any](r ledger.Record, project func(*T) error) error {
	body, err := ledger.Decode[T](r)
	if err != nil {
		return err
	}
	return project(body)
}
