package main

import (
	"fmt"
	"sort"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/ledger/journal"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/web"
)

// books are where auditors are shown what the index only names: from journal
// and store, never from the index.
type books struct {
	journal *journal.Journal
	store   *store.Store
}

func (h *house) ledger() web.Ledger { return books{h.journal, h.store} }

// Body implements [web.Ledger].
func (b books) Body(d attest.Digest) ([]byte, error) { return b.store.Get(d) }

// Segments implements [web.Ledger].
func (b books) Segments(from, to uint64) ([]account.Segment, error) {
	seals := b.journal.Seals()
	first := sort.Search(len(seals), func(i int) bool { return uint64(seals[i].Index) >= from })
	list := []account.Segment{}
	for _, s := range seals[first:] {
		if uint64(s.Index) >= to {
			break
		}
		envelope, err := b.store.Get(s.Envelope)
		if err != nil {
			return nil, fmt.Errorf("reading the statement of segment %d: %w", s.Statement.Number, err)
		}
		list = append(list, account.Segment{SchemaVersion: index.SchemaVersion, Index: s.Index, Body: envelope})
	}
	return list, nil
}
