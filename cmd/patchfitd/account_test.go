package main

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/client"
)

// An auditor is shown a house's books without doors, and without statements.
type auditor struct{ h *house }

func (a auditor) Account(_ context.Context, log string, from uint64) (*account.Page, error) {
	books, err := a.h.ledger()
	if err != nil {
		return nil, err
	}
	p := &account.Page{SchemaVersion: 1, From: from, To: from + 2, Log: log}
	p.Segments, err = books.Segments(log, p.From, p.To)
	return p, err
}

func (auditor) AccountOf(context.Context, int64) (*account.Row, error) { return nil, nil }

func (a auditor) Records(_ context.Context, from int64) (list [][]byte, err error) {
	for r, err := range a.h.journal.Records(from) {
		if err != nil {
			return nil, err
		}
		b, err := r.Canonical()
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}

// TestAccountOfAllLogs compares what a server says of its logs with the logs,
// after two rotations: every segment of its journal is a leaf of the log that was
// current. Another key than the named one is found.
func TestAccountOfAllLogs(t *testing.T) {
	config := newData(t, "")
	for i, origin := range []string{firstOrigin, secondOrigin, thirdOrigin} {
		if i > 0 {
			name(t, config, origin)
			if code, _, stderr := command(t, config, "log", "rotate"); code != 0 {
				t.Fatal(stderr)
			}
		}
		h := opened(t, config)
		for range i + 1 {
			logged(t, h)
		}
		shut(t, h)
	}
	h := opened(t, config)
	defer shut(t, h)
	srv, end := doorsOf(t, h)
	defer end()
	c, err := client.New(srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := h.trustedRoot()
	if err != nil {
		t.Fatal(err)
	}
	logs, err := c.Shards(t.Context(), root)
	if err != nil || len(logs.Frozen) != 2 || logs.Frozen[0].Origin != firstOrigin || logs.Current == nil || logs.Current.Origin != thirdOrigin || len(logs.Absent) > 0 {
		t.Fatalf("%+v, %v", logs, err)
	}
	var all []account.Walked
	for _, l := range logs.Shown() {
		cp, err := l.Verify(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, account.Walked{Key: l.Keys[0], Checkpoint: cp, Log: l.Log})
	}
	r, err := account.Compare(t.Context(), all, auditor{h}, nil)
	if err != nil || r.Wrong != 0 || len(r.Strangers) > 0 || r.Segments != int64(len(h.journal.Seals())) || len(r.Logs) != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = account.Compare(t.Context(), all, auditor{h}, &account.Options{Journals: []attest.Digest{attest.DigestOf(nil)}})
	if err != nil || r.Wrong == 0 || r.Findings[0].Kind != account.SegmentChanged {
		t.Errorf("sealed by a key nobody named: %+v, %v", r, err)
	}
	books, err := h.ledger()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := books.Segments("other.example", 0, 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("segments of a log there is not: %v", err)
	}
}
