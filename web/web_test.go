package web

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/index"
)

// A reader remembers what it was asked.
type reader struct {
	asked any
	err   error
}

func (r *reader) WhoBuilt(_ context.Context, q index.LineageQuery) (*index.Lineage, error) {
	r.asked = q
	return &index.Lineage{SchemaVersion: 1, Repository: q.Repository}, r.err
}

func (r *reader) Decisions(_ context.Context, q index.DecisionQuery) (*index.DecisionPage, error) {
	r.asked = q
	return &index.DecisionPage{SchemaVersion: 1}, r.err
}

func (r *reader) Hosts(_ context.Context, q index.HostQuery) (*index.HostPage, error) {
	r.asked = q
	return &index.HostPage{SchemaVersion: 1}, r.err
}

func (r *reader) Channels(_ context.Context, q index.ChannelQuery) (*index.ChannelPage, error) {
	r.asked = q
	return &index.ChannelPage{SchemaVersion: 1}, r.err
}

func (r *reader) Records(_ context.Context, q index.RecordQuery) (*index.RecordPage, error) {
	r.asked = q
	return &index.RecordPage{SchemaVersion: 1}, r.err
}

func (r *reader) Rebuilds(_ context.Context, q index.RebuildQuery) (*index.RebuildPage, error) {
	r.asked = q
	return &index.RebuildPage{SchemaVersion: 1}, r.err
}

func (r *reader) Account(_ context.Context, q index.AccountQuery) (*account.Page, error) {
	r.asked = q
	return &account.Page{SchemaVersion: 1, Statements: []account.Row{}, Segments: []account.Segment{}}, r.err
}

// noLedger has nothing.
type noLedger struct{}

func (noLedger) Body(d attest.Digest) ([]byte, error) { return nil, errors.New("no " + string(d)) }

func (noLedger) Segments(string, uint64, uint64) ([]account.Segment, error) {
	return []account.Segment{}, nil
}

func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

var digest = attest.DigestOf([]byte("x"))

func TestQuestions(t *testing.T) {
	asOf := time.Date(2026, 9, 30, 0, 0, 0, 500, time.UTC)
	no := false
	for target, want := range map[string]any{
		"/v1/audit/who-built?repository=lib/demo&digest=" + string(digest): index.LineageQuery{Repository: "lib/demo", Digest: digest},
		"/v1/audit/who-built?repository=a&digest=b&as-of=2026-09-30T00:00:00.0000005Z": index.LineageQuery{
			Repository: "a", Digest: "b", AsOf: asOf},
		"/v1/audit/decisions": index.DecisionQuery{},
		"/v1/audit/decisions?product=p&repository=r&host=h&allow=false&limit=5&cursor=c&artifact=" + string(digest): index.DecisionQuery{
			Product: "p", Repository: "r", Host: "h", Allow: &no, Artifact: digest, Range: index.Range{Limit: 5, Cursor: "c"}},
		"/v1/audit/hosts?product=p&host=h&as-of=2026-09-30T00:00:00.0000005Z": index.HostQuery{Product: "p", Host: "h", Range: index.Range{AsOf: asOf}},
		"/v1/audit/channels?repository=lib/demo&name=stable&limit=2":          index.ChannelQuery{Repository: "lib/demo", Name: "stable", Range: index.Range{Limit: 2}},
		"/v1/audit/channels?product=p&cursor=c":                               index.ChannelQuery{Product: "p", Range: index.Range{Cursor: "c"}},
		"/v1/audit/entries":                                                   index.AccountQuery{},
		"/v1/audit/entries?from=0&limit=3":                                    index.AccountQuery{Limit: 3},
		"/v1/audit/entries?from=7":                                            index.AccountQuery{From: 7},
		"/v1/audit/entries?record=7":                                          index.AccountQuery{Record: 7},
		"/v1/audit/records?from=9007199254740991&limit=3":                     index.RecordQuery{From: 1<<53 - 1, Limit: 3},
		"/v1/audit/rebuilds":                                                  index.RebuildQuery{},
		"/v1/audit/rebuilds?product=p&repository=r&as-of=2026-09-30T00:00:00.0000005Z&limit=5&artifact=" + string(digest): index.RebuildQuery{
			Product: "p", Repository: "r", Artifact: digest, Range: index.Range{AsOf: asOf, Limit: 5}},
	} {
		r := new(reader)
		w := get(New(r, &Options{Ledger: noLedger{}}), "GET", target)
		if diff := cmp.Diff(want, r.asked); diff != "" || w.Code != http.StatusOK {
			t.Errorf("%s: status %d, (-want +asked)\n%s", target, w.Code, diff)
		}
		if !strings.Contains(w.Body.String(), `"schemaVersion":1`) || w.Header().Get("Content-Type") != "application/json" ||
			w.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: %v %s", target, w.Header(), w.Body)
		}
	}
}

type errorAnswer struct {
	SchemaVersion int `json:"schemaVersion"`
	Error         struct {
		Code     string `json:"code"`
		Message  string `json:"message"`
		Remedy   string `json:"remedy"`
		Decision string `json:"decision"`
	} `json:"error"`
}

func checkError(t *testing.T, name string, w *httptest.ResponseRecorder, status int, code, text string) {
	t.Helper()
	var e errorAnswer
	if err := strictjson.Unmarshal(w.Body.Bytes(), 1<<16, &e); err != nil {
		t.Errorf("%s: %s: %v", name, w.Body, err)
	}
	if w.Code != status || e.Error.Code != code || !strings.Contains(e.Error.Message, text) || e.SchemaVersion != 1 {
		t.Errorf("%s: status %d, %+v", name, w.Code, e)
	}
}

// TestBadQuestions: what cannot be read is never asked.
func TestBadQuestions(t *testing.T) {
	for target, text := range map[string]string{
		"/v1/audit/who-built":                               "repository",
		"/v1/audit/who-built?repository=a":                  "digest",
		"/v1/audit/who-built?repository=a&digest=b&as-of=x": "as-of",
		"/v1/audit/decisions?alow=true":                     "alow",
		"/v1/audit/decisions?allow=maybe":                   "allow",
		"/v1/audit/decisions?allow=":                        "empty",
		"/v1/audit/decisions?host=a&host=b":                 "2 times",
		"/v1/audit/decisions?artifact=sha256:00":            "artifact",
		"/v1/audit/decisions?limit=0":                       "limit",
		"/v1/audit/decisions?limit=99999999999999999999":    "limit",
		"/v1/audit/decisions?offset=10":                     "offset",
		"/v1/audit/decisions?as-of=0001-01-01T00:00:00Z":    "as-of",
		"/v1/audit/decisions?a=%zz":                         "query",
		"/v1/audit/decisions?host=a;product=b":              "query",
		"/v1/audit/hosts?state=active":                      "state",
		"/v1/audit/entries?from=-1":                         "from",
		"/v1/audit/entries?record=0":                        "record",
		"/v1/audit/entries?as-of=now":                       "as-of",
		"/v1/audit/records?from=-1":                         "from",
		"/v1/audit/records?as-of=2026-09-30T00:00:00Z":      "as-of",
	} {
		r := new(reader)
		checkError(t, target, get(New(r, nil), "GET", target), http.StatusBadRequest, "INVALID", text)
		if r.asked != nil {
			t.Errorf("%s: asked %+v", target, r.asked)
		}
	}
}

// TestPagesAreBounded: a larger one than configured is refused, not shortened.
func TestPagesAreBounded(t *testing.T) {
	for _, path := range []string{"decisions", "hosts", "records"} {
		r := new(reader)
		h := New(r, &Options{MaxPage: 50})
		checkError(t, path, get(h, "GET", "/v1/audit/"+path+"?limit=51"), http.StatusBadRequest, "INVALID", "at most 50 rows")
		if r.asked != nil {
			t.Errorf("%s: asked %+v", path, r.asked)
		}
		if w := get(h, "GET", "/v1/audit/"+path+"?limit=50"); w.Code != http.StatusOK {
			t.Errorf("%s: a page of 50: %s", path, w.Body)
		}
	}
}

// TestQuestionThatTakesTooLong: it is told so, and nothing is logged as broken.
func TestQuestionThatTakesTooLong(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	w := httptest.NewRecorder()
	New(&reader{err: errors.New("interrupted")}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/v1/audit/hosts", nil).WithContext(ctx))
	checkError(t, "too long", w, http.StatusServiceUnavailable, "UNAVAILABLE", "too long")
}

func TestErrors(t *testing.T) {
	for code, err := range map[string]error{
		"NOT_FOUND": fmt.Errorf("reading the index: x: %w", index.ErrNotFound),
		"INVALID":   fmt.Errorf("%w: limit", index.ErrQuestion),
		"INTERNAL":  errors.New("disk I/O error at /secret/path"),
	} {
		w := get(New(&reader{err: err}, nil), "GET", "/v1/audit/decisions")
		status := map[string]int{"NOT_FOUND": 404, "INVALID": 400, "INTERNAL": 500}[code]
		checkError(t, code, w, status, code, "")
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s", w.Body)
		}
	}
	h := New(new(reader), nil)
	checkError(t, "path", get(h, "GET", "/v1/audit/nothing"), 404, "NOT_FOUND", "nothing")
	checkError(t, "method", get(h, "DELETE", "/v1/audit/decisions"), 405, "METHOD_NOT_ALLOWED", "GET")
	if w := get(h, "HEAD", "/v1/audit/decisions"); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// TestProducts: whoever may see some products sees those, and no records.
func TestProducts(t *testing.T) {
	within := index.Products{"p"}
	o := &Options{Products: func(*http.Request) index.Products { return within }}
	r := new(reader)
	for target, want := range map[string]any{
		"/v1/audit/who-built?repository=a&digest=b": index.LineageQuery{Within: within, Repository: "a", Digest: "b"},
		"/v1/audit/decisions":                       index.DecisionQuery{Within: within},
		"/v1/audit/hosts":                           index.HostQuery{Within: within},
	} {
		get(New(r, o), "GET", target)
		if diff := cmp.Diff(want, r.asked); diff != "" {
			t.Errorf("%s: (-want +asked)\n%s", target, diff)
		}
	}
	r.asked = nil
	checkError(t, "records", get(New(r, o), "GET", "/v1/audit/records"), 403, "FORBIDDEN_ROLE", "all products")
	checkError(t, "entries", get(New(r, o), "GET", "/v1/audit/entries"), 403, "FORBIDDEN_ROLE", "all products")
	within = index.Products{} // nothing at all is not everything
	checkError(t, "records", get(New(r, o), "GET", "/v1/audit/records"), 403, "FORBIDDEN_ROLE", "all products")
	if r.asked != nil {
		t.Errorf("asked %+v", r.asked)
	}
}

type oneRecord ledger.Record

func (r oneRecord) Records(from int64) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		if from <= 1 {
			yield(ledger.Record(r), nil)
		}
	}
}
func (oneRecord) Blob(attest.Digest) ([]byte, error) { return nil, errors.New("none") }
func (oneRecord) Statement(attest.Digest) (index.Statement, error) {
	return index.Statement{}, errors.New("none")
}

// TestAgainstTheIndex: a record goes out as it was sealed.
func TestAgainstTheIndex(t *testing.T) {
	body, err := ledger.EncodeBody(ledger.KindProduct, ledger.ProductAdded{Product: "p", Repository: "r", By: "root"})
	if err != nil {
		t.Fatal(err)
	}
	rec := ledger.Record{Sequence: 1, Time: time.Unix(0, 0).UTC(), Kind: ledger.KindProduct, Salt: make([]byte, ledger.SaltSize), Body: body}
	x, err := index.Open(filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.CatchUp(t.Context(), oneRecord(rec)); err != nil {
		t.Fatal(err)
	}
	canonical, err := rec.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"asOf":{"sequence":1,"time":"1970-01-01T00:00:00Z"},"records":[{"leaf":%q,"record":%s,"schemaVersion":1}],"schemaVersion":1}`+"\n",
		attest.DigestFromSum(ledger.LeafHash(canonical)), canonical)
	if diff := cmp.Diff(want, get(New(x, nil), "GET", "/v1/audit/records").Body.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	checkError(t, "who-built", get(New(x, nil), "GET", "/v1/audit/who-built?repository=r&digest="+string(digest)), 404, "NOT_FOUND", string(digest))
}
