package index

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// SchemaVersion is in every object of every answer. It rises when a member
// changes its meaning or goes.
const SchemaVersion = 1

// Limits of how many rows one page has.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// AsOf pins an answer: it is made of the records up to Sequence, the last one
// at or before the time that was asked for. The zero AsOf is of no records.
type AsOf struct {
	Sequence int64     `json:"sequence"`
	Time     time.Time `json:"time,omitzero"` // journal time of that record
}

// A Range of rows to return. The zero Range is the first page as of now.
type Range struct {
	AsOf   time.Time // zero: now
	Limit  int       // 0: DefaultLimit; at most MaxLimit
	Cursor string    // of the page before; it carries that page's AsOf
}

// Products limits answers to products; nil: all of them.
type Products []string

// A cursor says where the next page begins. It is no secret and no proof.
type cursor struct {
	Question string `json:"question"` // hash of what was asked
	AsOf     int64  `json:"asOf"`
	After    string `json:"after"` // key of the last row of the page before
}

// maxCursor is the longest cursor text, in bytes.
const maxCursor = 1024

func (c cursor) text() (string, error) {
	b, err := strictjson.Canonical(c)
	return base64.RawURLEncoding.EncodeToString(b), err
}

func parseCursor(s string) (*cursor, error) {
	if len(s) > maxCursor {
		return nil, errors.New("cursor too long")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, err
	}
	c := new(cursor)
	return c, strictjson.Unmarshal(b, maxCursor, c)
}

// A page is a Range that has been looked up.
type page struct {
	asOf     AsOf
	limit    int
	after    string // "" on the first page
	question string
}

// A view is one consistent look at the tables.
type view struct {
	ctx context.Context
	tx  *sql.Tx
}

// look runs read with a view.
func (x *Index) look(ctx context.Context, read func(*view) error) error {
	tx, err := x.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("reading the index: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	if err := read(&view{ctx, tx}); err != nil {
		return fmt.Errorf("reading the index: %w", err)
	}
	return nil
}

// page looks up r for a question, which is everything that selects rows.
func (v *view) page(r Range, question ...any) (*page, error) {
	p := &page{limit: r.Limit}
	if p.limit == 0 {
		p.limit = DefaultLimit
	}
	if p.limit < 0 || p.limit > MaxLimit {
		return nil, fmt.Errorf("%w: limit %d is not from 1 to %d", ErrQuestion, r.Limit, MaxLimit)
	}
	asked, err := strictjson.Canonical(question)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(asked)
	p.question = hex.EncodeToString(hash[:8])
	if r.Cursor == "" {
		p.asOf, err = v.asOf(r.AsOf)
		return p, err
	}
	c, err := parseCursor(r.Cursor)
	if err != nil {
		return nil, fmt.Errorf("%w: cursor: %w", ErrQuestion, err)
	}
	if c.Question != p.question || !r.AsOf.IsZero() {
		return nil, fmt.Errorf("%w: the cursor belongs to another question; it carries its own as-of", ErrQuestion)
	}
	p.after = c.After
	p.asOf, err = v.asOfSequence(c.AsOf)
	return p, err
}

// next returns the cursor of the page that begins after the row key.
func (p *page) next(key string) (string, error) {
	return cursor{Question: p.question, AsOf: p.asOf.Sequence, After: key}.text()
}

func (v *view) asOf(t time.Time) (AsOf, error) {
	if t.IsZero() {
		return v.scanAsOf("SELECT sequence, time FROM record ORDER BY sequence DESC LIMIT 1")
	}
	return v.scanAsOf("SELECT sequence, time FROM record WHERE time <= ? ORDER BY time DESC, sequence DESC LIMIT 1", micros(t))
}

func (v *view) asOfSequence(n int64) (AsOf, error) {
	a, err := v.scanAsOf("SELECT sequence, time FROM record WHERE sequence = ?", n)
	if err == nil && a.Sequence != n {
		err = fmt.Errorf("%w: the cursor is of record %d, which is not there", ErrQuestion, n)
	}
	return a, err
}

func (v *view) scanAsOf(query string, args ...any) (AsOf, error) {
	var a AsOf
	var at int64
	err := v.tx.QueryRowContext(v.ctx, query, args...).Scan(&a.Sequence, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return AsOf{}, nil
	}
	a.Time = when(at)
	return a, err
}

// when is the inverse of micros.
func when(us int64) time.Time { return time.UnixMicro(us).UTC() }

// digest returns a stored digest; "" for NULL.
func digest(raw []byte) attest.Digest {
	if raw == nil {
		return ""
	}
	return attest.DigestFromSum(raw)
}

// A where is the condition of a query as it is put together, from constants.
type where struct {
	parts []string
	args  []any
}

func (w *where) and(part string, args ...any) {
	w.parts = append(w.parts, part)
	w.args = append(w.args, args...)
}

// in asks for column to be one of the products; nil asks for nothing.
func (w *where) in(column string, products Products) {
	if products == nil {
		return
	}
	marks := strings.TrimPrefix(strings.Repeat(", ?", len(products)), ", ")
	args := make([]any, len(products))
	for i, p := range products {
		args[i] = p
	}
	w.and(column+" IN ("+marks+")", args...)
}

func (w *where) String() string { return strings.Join(w.parts, " AND ") }

// each runs query and calls scan for every row.
func (v *view) each(query string, args []any, scan func(row func(...any) error) error) error {
	rows, err := v.tx.QueryContext(v.ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
