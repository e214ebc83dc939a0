package index

import (
	"database/sql"
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// lintTable has what the server found in live patches. Files that were made
// before there was any get it when they are opened.
const lintTable = `CREATE TABLE IF NOT EXISTS lint (
	sequence   INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	digest     BLOB NOT NULL, -- manifest of the patch
	report     BLOB NOT NULL, -- digest of the report
	linter     TEXT NOT NULL,
	canonical  BLOB NOT NULL, -- the report itself
	by         TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS lint_digest ON lint (digest, repository, sequence)`

// A LintRow is a report of the server's own linter about a live patch.
type LintRow struct {
	SchemaVersion int            `json:"schemaVersion"`
	Found         By             `json:"found"` // by whoever put the patch; the server looked
	Linter        string         `json:"linter"`
	Digest        attest.Digest  `json:"digest"` // of the report
	Report        jsontext.Value `json:"report"` // docs/spec/lint.md
}

func (p *projection) linted(b *ledger.Linted) error {
	raw, err := p.src.Blob(b.Report)
	if err != nil {
		return err
	}
	return p.insert("lint", "repository, digest, report, linter, canonical, by", b.Repository, sum(b.Digest), sum(b.Report), b.Linter, raw, b.By)
}

// lint returns what was found in an artifact last; nil: nothing was looked for.
func (v *view) lint(l *Lineage, d attest.Digest) (*LintRow, error) {
	query := `SELECT t.sequence, r.time, t.by, t.linter, t.report, t.canonical FROM lint t JOIN record r ON r.sequence = t.sequence
		WHERE t.digest = ? AND t.repository = ? AND t.sequence <= ? ORDER BY t.sequence DESC LIMIT 1`
	row := &LintRow{SchemaVersion: SchemaVersion}
	var at int64
	var report, canonical []byte
	err := v.tx.QueryRowContext(v.ctx, query, sum(d), l.Repository, l.AsOf.Sequence).
		Scan(&row.Found.Sequence, &at, &row.Found.By, &row.Linter, &report, &canonical)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	row.Found.Time, row.Digest, row.Report = when(at), digest(report), canonical
	return row, err
}
