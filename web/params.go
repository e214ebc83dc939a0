package web

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/index"
)

// A failure is an error that the asker is told. Its JSON is the error object
// of the /v1 API.
type failure struct {
	status   int
	Code     string `json:"code"`
	Message  string `json:"message"`
	Remedy   string `json:"remedy"`
	Decision string `json:"decision"` // always "": nothing is decided here
}

type failureBody struct {
	SchemaVersion int      `json:"schemaVersion"`
	Error         *failure `json:"error"`
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func failf(status int, code, format string, args ...any) *failure {
	return &failure{status: status, Code: code, Message: strings.ToValidUTF8(fmt.Sprintf(format, args...), "?")}
}

func (f *failure) hint(remedy string) *failure {
	f.Remedy = remedy
	return f
}

// params reads a query once and keeps the first error. A parameter that is
// given twice, cannot be read, or that nobody asked for is one.
type params struct {
	values  url.Values
	maxPage int
	known   []string
	err     error
}

func (p *params) text(name string) string {
	p.known = append(p.known, name)
	switch v := p.values[name]; {
	case len(v) > 1:
		p.fail("parameter %q is given %d times", name, len(v))
	case len(v) == 1 && v[0] == "":
		p.fail("parameter %q is empty", name)
	case len(v) == 1:
		return v[0]
	}
	return ""
}

func (p *params) required(name string) string {
	v := p.text(name)
	if v == "" {
		p.fail("parameter %q is missing", name)
	}
	return v
}

func (p *params) digest(name string) attest.Digest {
	v := p.text(name)
	if v == "" {
		return ""
	}
	d, err := attest.ParseDigest(v)
	if err != nil {
		p.fail("parameter %q: %s", name, err)
	}
	return d
}

func (p *params) time(name string) time.Time {
	v := p.text(name)
	if v == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil || t.IsZero() {
		p.fail("parameter %q is not a time as 2026-09-30T00:00:00Z", name)
	}
	return t
}

func (p *params) bool(name string) *bool {
	switch v := p.text(name); v {
	case "":
		return nil
	case "true", "false":
		b := v == "true"
		return &b
	}
	p.fail("parameter %q is neither true nor false", name)
	return nil
}

func (p *params) integer(name string) int64 { return p.atLeast(1, name) }

func (p *params) natural(name string) int64 { return p.atLeast(0, name) }

// atLeast reads a number; 0 where there is none.
func (p *params) atLeast(least int64, name string) int64 {
	v := p.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 54)
	if err != nil || n < least {
		p.fail("parameter %q is not a number from %d", name, least)
		return 0
	}
	return n
}

func (p *params) limit() int {
	n := p.integer("limit")
	if n > int64(p.maxPage) {
		p.fail("parameter %q is %d, and a page has at most %d rows", "limit", n, p.maxPage)
		return 0
	}
	return int(n)
}

func (p *params) pages() index.Range {
	return index.Range{AsOf: p.time("as-of"), Limit: p.limit(), Cursor: p.text("cursor")}
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = failf(http.StatusBadRequest, "INVALID", format, args...)
	}
}

// done returns the first error.
func (p *params) done() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !slices.Contains(p.known, name) {
			p.fail("unknown parameter %.80q; there are %s", name, strings.Join(p.known, ", "))
		}
	}
	return p.err
}
