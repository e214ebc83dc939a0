// Package web answers the auditor: GET /v1/audit/… over one small Reader, every
// answer a JSON object with a schemaVersion, canonical, so that the same
// question as of the same time gives the same bytes. docs/spec/index.md, "The
// audit API".
//
// Who may ask is decided before a request gets here; [Options.Products] brings
// that decision in.
package web

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/index"
)

// A Reader answers questions about the ledger. *index.Index is one.
type Reader interface {
	// WhoBuilt returns index.ErrNotFound for an artifact that never was.
	WhoBuilt(ctx context.Context, q index.LineageQuery) (*index.Lineage, error)
	Decisions(ctx context.Context, q index.DecisionQuery) (*index.DecisionPage, error)
	Hosts(ctx context.Context, q index.HostQuery) (*index.HostPage, error)
	Channels(ctx context.Context, q index.ChannelQuery) (*index.ChannelPage, error)
	Records(ctx context.Context, q index.RecordQuery) (*index.RecordPage, error)
	Rebuilds(ctx context.Context, q index.RebuildQuery) (*index.RebuildPage, error)
	Account(ctx context.Context, q index.AccountQuery) (*account.Page, error)
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // of errors whose cause the asker must not see; nil: silent
	// Products returns the products whoever asks may see, nil for all of them.
	// A nil function means that everyone who gets here may see all.
	Products func(r *http.Request) index.Products
	// MaxPage is the most rows of one answer; 0: index.MaxLimit.
	MaxPage int
	// Ledger has the bundles and segments that answers about the log's entries
	// show. Nil: there are no such answers.
	Ledger Ledger
}

type server struct {
	reader   Reader
	logger   *slog.Logger
	products func(*http.Request) index.Products
	maxPage  int
	ledger   Ledger
}

// New returns the handler of the paths below /v1/audit/.
func New(r Reader, o *Options) http.Handler {
	if o == nil {
		o = new(Options)
	}
	s := &server{reader: r, logger: o.Logger, products: o.Products, maxPage: cmp.Or(o.MaxPage, index.MaxLimit), ledger: o.Ledger}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.products == nil {
		s.products = func(*http.Request) index.Products { return nil }
	}
	m := mux.NewRouter()
	s.get(m, "/v1/audit/who-built", s.whoBuilt)
	s.get(m, "/v1/audit/decisions", s.decisions)
	s.get(m, "/v1/audit/hosts", s.hosts)
	s.get(m, "/v1/audit/channels", s.channels)
	s.get(m, "/v1/audit/records", s.records)
	s.get(m, "/v1/audit/entries", s.entries)
	s.get(m, "/v1/audit/rebuilds", s.rebuilds)
	m.NotFoundHandler = s.handle(func(r *http.Request, _ *params) (any, error) {
		return nil, failf(http.StatusNotFound, "NOT_FOUND", "there is no %.80q here", r.URL.Path)
	})
	m.MethodNotAllowedHandler = s.handle(func(r *http.Request, _ *params) (any, error) {
		return nil, failf(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "the ledger is only read: use GET")
	})
	return m
}

// An answerer returns what to answer. It takes the parameters it knows; others
// are an error afterwards.
type answerer func(r *http.Request, p *params) (any, error)

func (s *server) get(m *mux.Router, path string, answer answerer) {
	m.Handle(path, s.handle(answer)).Methods(http.MethodGet, http.MethodHead)
}

func (s *server) handle(answer answerer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := s.answer(answer, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		b, err := strictjson.Canonical(v)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		write(w, http.StatusOK, b)
	})
}

func (s *server) answer(answer answerer, r *http.Request) (any, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, failf(http.StatusBadRequest, "INVALID", "the query cannot be read: %s", err)
	}
	return answer(r, &params{values: values, maxPage: s.maxPage})
}

func (s *server) whoBuilt(r *http.Request, p *params) (any, error) {
	q := index.LineageQuery{
		Within:     s.products(r),
		Repository: p.required("repository"),
		Digest:     attest.Digest(p.required("digest")),
		AsOf:       p.time("as-of"),
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	return s.reader.WhoBuilt(r.Context(), q)
}

func (s *server) decisions(r *http.Request, p *params) (any, error) {
	q := index.DecisionQuery{
		Within:     s.products(r),
		Product:    p.text("product"),
		Repository: p.text("repository"),
		Host:       p.text("host"),
		Artifact:   p.digest("artifact"),
		Allow:      p.bool("allow"),
		Range:      p.pages(),
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	return s.reader.Decisions(r.Context(), q)
}

func (s *server) hosts(r *http.Request, p *params) (any, error) {
	q := index.HostQuery{Within: s.products(r), Product: p.text("product"), Host: p.text("host"), Range: p.pages()}
	if err := p.done(); err != nil {
		return nil, err
	}
	return s.reader.Hosts(r.Context(), q)
}

func (s *server) channels(r *http.Request, p *params) (any, error) {
	q := index.ChannelQuery{Within: s.products(r), Product: p.text("product"), Repository: p.text("repository"), Name: p.text("name"), Range: p.pages()}
	if err := p.done(); err != nil {
		return nil, err
	}
	return s.reader.Channels(r.Context(), q)
}

// records are of all products at once, so only who may see all may see them.
func (s *server) records(r *http.Request, p *params) (any, error) {
	if s.products(r) != nil {
		return nil, failf(http.StatusForbidden, "FORBIDDEN_ROLE", "journal records are of all products").
			hint("ask an admin of the whole server to read them, or ask for decisions of one product")
	}
	q := index.RecordQuery{From: p.integer("from"), Limit: p.limit()}
	if err := p.done(); err != nil {
		return nil, err
	}
	return s.reader.Records(r.Context(), q)
}

// fail answers with err. What is not meant for the asker is logged.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var f *failure
	switch {
	case errors.As(err, &f):
	case errors.Is(err, index.ErrNotFound):
		f = failf(http.StatusNotFound, "NOT_FOUND", "%s", err).hint("check repository, digest and as-of")
	case errors.Is(err, index.ErrQuestion):
		f = failf(http.StatusBadRequest, "INVALID", "%s", err)
	case errors.Is(r.Context().Err(), context.DeadlineExceeded):
		f = failf(http.StatusServiceUnavailable, "UNAVAILABLE", "the question took too long").hint("ask for less: a smaller limit, one product, host or artifact")
	default:
		if r.Context().Err() == nil {
			s.logger.Error("answering an auditor", "path", r.URL.Path, "err", err)
		}
		f = failf(http.StatusInternalServerError, "INTERNAL", "the index could not be read").hint("see the server's log")
	}
	b, err := strictjson.Canonical(failureBody{index.SchemaVersion, f})
	if err != nil { // cannot be caused by input: strings only
		b = []byte(`{"error":{"code":"INTERNAL","decision":"","message":"encoding the answer","remedy":""},"schemaVersion":1}`)
	}
	write(w, f.status, b)
}

func write(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone: there is nobody to tell
}

var _ Reader = (*index.Index)(nil)
