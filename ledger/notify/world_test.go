package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

const (
	productA = "0d9ff2a4-6f9c-4f0b-8d3b-1f6f6f0a0001"
	productB = "0d9ff2a4-6f9c-4f0b-8d3b-1f6f6f0a0002"
	dir      = "/data/notify"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// A book is a journal in memory.
type book struct {
	mu      sync.Mutex
	records []ledger.Record
	salt    string // of the records to come; "": one like any other
}

func (b *book) Records(from int64) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for i := from - 1; ; i++ {
			b.mu.Lock()
			if i >= int64(len(b.records)) {
				b.mu.Unlock()
				return
			}
			r := b.records[i]
			b.mu.Unlock()
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (b *book) Last() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(len(b.records))
}

func (b *book) add(t testing.TB, kind ledger.Kind, body any) ledger.Record {
	t.Helper()
	raw, err := ledger.EncodeBody(kind, body)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := ledger.Record{
		Sequence: int64(len(b.records)) + 1, Time: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
		Kind: kind, Salt: []byte(cmp.Or(b.salt, "sixteen bytes !!")), Body: raw,
	}
	b.records = append(b.records, r)
	return r
}

// tags adds n records that are told, and as many that are not.
func (b *book) tags(t testing.TB, n int) {
	for range n {
		b.add(t, ledger.KindTag, ledger.TagMoved{Repository: "lib/a", Tag: "v1", Digest: attest.DigestOf(nil), By: "me"})
		b.add(t, ledger.KindUses, ledger.DecisionUses{Decision: "d-1", Uses: 1})
	}
}

func product(repository string) (string, bool) {
	switch repository {
	case "lib/a":
		return productA, true
	case "lib/b":
		return productB, true
	}
	return "", false
}

func config(b *book, endpoints ...Endpoint) Config {
	return Config{Dir: dir, Origin: "patches.example.org", Source: b, Product: product, Rebuild: dissent, Endpoints: endpoints}
}

func endpoint(name string) Endpoint {
	return Endpoint{Name: name, URL: "https://" + name + ".example/hook", Secrets: [][]byte{secret}}
}

// A post is one request as an endpoint got it.
type post struct {
	at   time.Time
	host string
	id   string
	body string
}

// An inbox is every endpoint at once.
type inbox struct {
	mu     sync.Mutex
	posts  []post
	answer func(p post) (*http.Response, error) // nil: 204
}

func (in *inbox) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	p := post{time.Now(), r.URL.Hostname(), r.Header.Get("Webhook-Id"), string(b)}
	in.mu.Lock()
	in.posts = append(in.posts, p)
	in.mu.Unlock()
	if in.answer == nil {
		return status(204), nil
	}
	return in.answer(p)
}

func status(code int) *http.Response {
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader("")), Header: http.Header{}}
}

func (in *inbox) ids(host string) []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var ids []string
	for _, p := range in.posts {
		if p.host == host {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// wanted returns the ids of all records from one on that are told to everyone.
func wanted(t testing.TB, b *book, from int64) []string {
	t.Helper()
	everything := newTeller(config(b), Endpoint{})
	var ids []string
	for r := range b.Records(from) {
		id, _, err := everything.event(r)
		if err != nil {
			t.Fatal(err)
		}
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// once returns ids as they came first.
func once(ids []string) []string {
	seen := make(map[string]bool)
	var out []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

func start(t testing.TB, fs *disktest.FS, c Config, in *inbox) *Notifier {
	t.Helper()
	n, err := open(fs, c, &Options{Transport: in})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func members(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A logbook keeps what is logged.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logbook) WithGroup(string) slog.Handler            { return l }
func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.lines = append(l.lines, line)
	return nil
}

func (l *logbook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(strings.Join(l.lines, "\n"), text)
}
