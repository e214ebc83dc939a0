package web

import (
	"errors"
	"io/fs"
	"net/http"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/index"
)

// maxBodies is how many bytes of bundles one answer about leaves has; a leaf's
// rows are never parted.
const maxBodies = 8 << 20

// A Ledger has what the index only names.
type Ledger interface {
	// Body returns bytes of the ledger store.
	Body(d attest.Digest) ([]byte, error)
	// Segments returns the sealed segments whose leaves are, in the log of an
	// origin, from one index to before another, by leaf, with their envelopes.
	// "" is the log that takes entries. Of a log there is not, it is fs.ErrNotExist.
	Segments(log string, from, to uint64) ([]account.Segment, error)
}

// entries are of all products at once, as records are.
func (s *server) entries(r *http.Request, p *params) (any, error) {
	if s.products(r) != nil {
		return nil, failf(http.StatusForbidden, "FORBIDDEN_ROLE", "what the index says of the log's entries is of all products").
			hint("ask as an auditor of the whole server, or ask for decisions of one product")
	}
	log := p.text("log")
	q := index.AccountQuery{From: uint64(p.natural("from")), Limit: p.limit(), Record: p.integer("record")}
	if err := p.done(); err != nil {
		return nil, err
	}
	if s.ledger == nil {
		return nil, failf(http.StatusNotFound, "NOT_FOUND", "there is no %.80q here", r.URL.Path)
	}
	page, err := s.reader.Account(r.Context(), q)
	if err != nil {
		return nil, err
	}
	if err := s.fill(page); err != nil || q.Record > 0 {
		return page, err
	}
	page.Log = log
	if page.Segments, err = s.ledger.Segments(log, page.From, page.To); errors.Is(err, fs.ErrNotExist) {
		return nil, failf(http.StatusNotFound, "NOT_FOUND", "this server has no log called %.80q", log)
	}
	return page, err
}

// fill puts the bundles into a page. One that cannot be read stays away: who
// compares finds out what that means.
func (s *server) fill(page *account.Page) error {
	total := 0
	for i := range page.Statements {
		row := &page.Statements[i]
		b, err := s.ledger.Body(row.Bundle)
		if err != nil {
			s.logger.Warn("a bundle that the index names cannot be read", "bundle", row.Bundle, "record", row.Record, "err", err)
		}
		if total += len(b); total > maxBodies && row.Index > page.Statements[0].Index {
			return index.Cut(page, i)
		}
		row.Body = b
	}
	return nil
}
