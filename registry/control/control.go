// Package control answers /v1: what admins, hosts and publishers ask of a
// server besides artifacts. docs/spec/api.md lists the routes.
//
// Every route has a row in one table that says who may use it; a route without
// one answers nobody. A route that acts on a product names it before it does
// anything, and neither a record nor an answer leaves before the caller's role
// there was checked.
//
// What changes something is checked against the state under a lock, written to
// the journal, and only then acknowledged: when the journal cannot take it,
// the answer is 503 and nothing has changed.
package control

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"log/slog"
	"net/http"
	"sync"

	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/state"
)

// A Journal makes facts durable.
type Journal interface {
	// Append returns when the record is durable and the state has applied it.
	Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error)
}

// A Store keeps the bytes that records name.
type Store interface {
	// Put stores b under its sha256. When it returns nil the bytes survive a
	// power cut.
	Put(b []byte) (attest.Digest, error)
	// Get returns bytes, hashed again.
	Get(d attest.Digest) ([]byte, error)
}

// Timestamps is who signs the timestamps of a TUF repository.
type Timestamps interface {
	// CanSign returns an error unless what it signs counts under root.
	CanSign(root []byte) error
}

// Config is what the handlers need.
type Config struct {
	URL     string // the server's base URL, as enrolment tokens carry it
	TLSKey  string // hex sha256 of the TLS key's SPKI DER; "" : no pin
	Pepper  []byte // keys the MACs of enrolment tokens
	State   *state.State
	Store   Store
	Journal Journal
	Auth    *auth.Authority
	// Timestamps signs the timestamps of the TUF repository. Nil: this server
	// takes none.
	Timestamps Timestamps
	// Audit answers /v1/audit/ once the caller is known to be an auditor of
	// what they name, or of something where they name nothing; it limits its
	// answers to what they audit. Nil: there are no such routes.
	Audit http.Handler
	// Receipts are of decisions; nil: there are none to be had.
	Receipts *Receipts
	// Known wraps what answers a caller who is known by then, as to limit how
	// often one may ask. Nil: nothing.
	Known func(http.Handler) http.Handler
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // of failures that are the server's; nil: silent
}

// A server is the state of the handlers that is not a fact: locks and open
// challenges.
type server struct {
	Config
	logger     *slog.Logger
	challenges challenges
	pace       pace

	admin sync.Mutex // trust policies, products, principals, grants, tokens, enrolments, revocations
	hosts [64]sync.Mutex
}

// New returns the handler of /v1/. It asks Auth for who is calling.
func New(c Config, o *Options) http.Handler {
	s := &server{Config: c, logger: slog.New(slog.DiscardHandler)}
	if o != nil && o.Logger != nil {
		s.logger = o.Logger
	}
	return s.router()
}

// router puts each route behind its row of the role table.
func (s *server) router() *mux.Router {
	m := mux.NewRouter()
	for _, r := range s.routes() {
		h := s.guard(r)
		if !rules[r.name()].public {
			h = s.required(h)
		}
		m.Path(r.path).Methods(r.method).Handler(h)
	}
	if s.Audit != nil {
		m.PathPrefix(auditPath).Methods(http.MethodGet, http.MethodHead).Handler(s.required(s.guard(s.audit())))
	}
	m.NotFoundHandler = refusing(api.Errorf(http.StatusNotFound, api.CodeNotFound, "no such route"))
	m.MethodNotAllowedHandler = refusing(api.Errorf(http.StatusMethodNotAllowed, api.CodeMethod, "this route has other methods"))
	return m
}

// required lets a caller in who is known, and asks too often of nothing.
func (s *server) required(h http.Handler) http.Handler {
	if s.Known != nil {
		h = s.Known(h)
	}
	return s.Auth.Required(h)
}

func refusing(e *api.Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { api.WriteError(w, e) })
}

// hostLock keeps two changes of one host apart.
func (s *server) hostLock(id string) *sync.Mutex {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return &s.hosts[h.Sum32()%uint32(len(s.hosts))]
}

// mac returns what is kept of an enrolment token's secret.
func (s *server) mac(secret string) string {
	m := hmac.New(sha256.New, s.Pepper)
	m.Write([]byte("patchfit enrolment token v1\x00" + secret))
	return hex.EncodeToString(m.Sum(nil))
}

// fail answers with err. What is not an [api.Error] is the server's own
// failure: it is logged, and its text stays here.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := asAPI(err)
	if e == nil {
		s.logger.Error("answering a request", "method", r.Method, "route", routeOf(r), "err", err)
		e = api.Errorf(http.StatusInternalServerError, api.CodeInternal, "the server failed; its log says why")
	}
	s.Auth.Refuse(w, r, e)
}

func asAPI(err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func routeOf(r *http.Request) string {
	if route := mux.CurrentRoute(r); route != nil {
		if t, err := route.GetPathTemplate(); err == nil {
			return t
		}
	}
	return ""
}
