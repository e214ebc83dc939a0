// Package accounting lets the verbs of auditors compare a server's index with
// its log, and says what came of it.
package accounting

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/registry/api"
)

// Compare compares the index of the server s with its logs, oldest first.
// journals are the keys that may have sealed its journal; nil: any one.
func Compare(ctx context.Context, s *api.Client, logs []account.Walked, journals []attest.Digest, progress *term.Progress) (*account.Result, error) {
	defer progress.Clear()
	return account.Compare(ctx, logs, server{s, len(logs) > 1}, &account.Options{Journals: journals, Visit: func(cp *client.Checkpoint, index uint64) {
		if index%256 == 0 {
			progress.Step("index: %d of %d entries compared", index, cp.Size)
		}
	}})
}

// server asks for accounts. A server with one log may be too old to know that
// there can be more.
type server struct {
	client *api.Client
	names  bool // which log is meant
}

func (s server) ask(ctx context.Context, path string, q url.Values, v any) error {
	var raw jsontext.Value
	if err := s.client.Get(ctx, path, q, &raw); err != nil {
		return err
	}
	return strictjson.UnmarshalForeign(raw, len(raw), v)
}

// Account implements [account.Server].
func (s server) Account(ctx context.Context, log string, from uint64) (*account.Page, error) {
	p, q := new(account.Page), url.Values{"from": {strconv.FormatUint(from, 10)}}
	if s.names {
		q.Set("log", log)
	}
	return p, s.ask(ctx, "/v1/audit/entries", q, p)
}

// AccountOf implements [account.Server].
func (s server) AccountOf(ctx context.Context, record int64) (*account.Row, error) {
	p := new(account.Page)
	err := s.ask(ctx, "/v1/audit/entries", url.Values{"record": {strconv.FormatInt(record, 10)}}, p)
	if err != nil || len(p.Statements) == 0 {
		return nil, err
	}
	return &p.Statements[0], nil
}

// Records implements [account.Server].
func (s server) Records(ctx context.Context, from int64) ([][]byte, error) {
	var page struct {
		Records []struct {
			Record jsontext.Value `json:"record"`
		} `json:"records"`
	}
	if err := s.ask(ctx, "/v1/audit/records", url.Values{"from": {strconv.FormatInt(from, 10)}}, &page); err != nil {
		return nil, err
	}
	var list [][]byte
	for _, r := range page.Records {
		list = append(list, r.Record)
	}
	return list, nil
}

// Text says what a comparison came to, for people. names are what keys are
// called.
func Text(w io.Writer, r *account.Result) {
	m := term.Marks(w)
	fmt.Fprintf(w, "%s the index has what the journal's %d sealed segments say, and nothing else: %d records, %d statements\n", m.Check(r.Wrong == 0), r.Segments, r.Records, r.Statements)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "  %s %s%s\n", m.Cross, term.Printable(f.String()), of(f.Log))
	}
	if more := r.Wrong - int64(len(r.Findings)); more > 0 {
		fmt.Fprintf(w, "  %s and %d more\n", m.Cross, more)
	}
	if r.Unsealed > 0 {
		fmt.Fprintf(w, "%s %d statements are not sealed yet: the server's word\n", m.Bang, r.Unsealed)
	}
	if r.Elsewhere > 0 {
		fmt.Fprintf(w, "%s %d statements are logged in other logs\n", m.Bang, r.Elsewhere)
	}
	for _, s := range r.Strangers {
		key := "in no form a log here has"
		if s.Key != "" {
			key = "by key " + string(s.Key)
		}
		fmt.Fprintf(w, "%s logged, never admitted: %d entries %s, from %d to %d%s\n", m.Bang, s.Leaves, key, s.First, s.Last, of(s.Log))
	}
}

// of names the log something is in, where there is more than one.
func of(log string) string {
	if log == "" {
		return ""
	}
	return " of log " + term.Printable(log)
}
