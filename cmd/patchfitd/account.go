package main

import (
	"fmt"
	"io/fs"
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
	frozen  []sealed // logs that took seals before, oldest first
	current string   // origin of the log that takes them
}

// sealed is how many seals of the journal a frozen log has.
type sealed struct {
	origin string
	count  int
}

func (h *house) ledger() (web.Ledger, error) {
	key, err := attest.NewPublicKey(h.keys.journal.Public())
	if err != nil {
		return nil, fmt.Errorf("reading the journal key: %w", err)
	}
	b := books{journal: h.journal, store: h.store, current: h.config.Origin}
	for i, l := range h.frozen {
		b.frozen = append(b.frozen, sealed{h.shards.Shards[i].Origin, int(l.Count(key.ID()))})
	}
	return b, nil
}

// Body implements [web.Ledger].
func (b books) Body(d attest.Digest) ([]byte, error) { return b.store.Get(d) }

// Segments implements [web.Ledger].
func (b books) Segments(log string, from, to uint64) ([]account.Segment, error) {
	seals, err := b.seals(log)
	if err != nil {
		return nil, err
	}
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

// seals returns the seals that are in a log. The journal is sealed in order, and
// a log ends with everything sealed in it, so they are one stretch of all.
func (b books) seals(log string) ([]journal.Seal, error) {
	seals := b.journal.Seals()
	for _, f := range b.frozen {
		n := min(f.count, len(seals))
		if f.origin == log {
			return seals[:n], nil
		}
		seals = seals[n:]
	}
	if log != "" && log != b.current {
		return nil, fmt.Errorf("log %.80q: %w", log, fs.ErrNotExist)
	}
	return seals, nil
}
