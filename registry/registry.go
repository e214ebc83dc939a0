// Package registry is the OCI front end of a server: what publishers push to
// and hosts pull from. docs/spec/registry.md is its specification.
//
// Distribution does the protocol, and decides nothing. It is wrapped twice. In
// front of it a request is read once, strictly, and gets an exchange: who asks,
// what for, in which product, with which roles. Around its namespace stand
// types that refuse everything and forward, by hand, what an exchange may do;
// they see the digests that distribution itself resolved, so that no spelling
// of a request leads around them.
//
//	request -> hygiene -> route, roles -> distribution -> closed wrappers -> content, store
//	                                                       |        |
//	                                                      gate    admit -> store, journal
//
// What exists is what the journal says: blobs, manifests, tags and lists are
// answered from [state.State], the bytes of blobs from package content and those
// of manifests from the ledger store, both after they were hashed. Bytes
// without a record are invisible. Hosts start from nothing: they get
// patches the gate allows them, the one file such a patch consists of, and
// bundles that admission verified.
package registry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/fileid"
	"github.com/patchfit/patchfit/internal/kept"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
)

// A Store keeps bytes for good under their sha256. When Put returns nil they
// survive a power cut.
type Store interface {
	Put(b []byte) (attest.Digest, error)
	// Get returns the bytes with this digest, hashed again.
	Get(d attest.Digest) ([]byte, error)
	// Identity returns the identity of the file of a digest.
	Identity(d attest.Digest) (fileid.Identity, error)
}

// A Journal takes facts. When Append returns nil the record is durable and the
// state has applied it.
type Journal interface {
	Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error)
}

// Config is what a Registry needs.
type Config struct {
	Content *content.Store
	State   *state.State
	Gate    *gate.Gate
	Admit   *admit.Admitter
	Store   Store
	Journal Journal
	Limits  Limits
	// Immutable says which tags, once they name a manifest, are never moved.
	// nil: none.
	Immutable func(tag string) bool
	// Damaged is told of stored bytes that turned out not to be what they were.
	// nil: the log alone is.
	Damaged func(damage.Object)
	Logger  *slog.Logger // nil: silent
}

// A Registry answers below /v2/. Who asks is in the context of the request
// (package auth); nobody gets anything.
type Registry struct {
	Config
	app     *handlers.App
	router  *mux.Router
	uploads *uploads
	claims  *claims
	places  *places
	bodies  *bodies
	pages   *pages
	slow    bool // for tests: distribution answers everything

	stop     context.CancelFunc // ends the background work
	sweeping sync.WaitGroup
	trials   sync.WaitGroup // decisions on what an embargo keeps from who asked
	// linking is held for reading while a blob or a manifest comes in, from what
	// it depends on being looked at to its record, and for writing while what
	// nothing depends on is taken away.
	linking sync.RWMutex
}

// New returns the registry of what c has. Its log messages, and those of
// everything in the process that logs with logrus, go to c.Logger.
func New(c Config) (*Registry, error) {
	if c.Content == nil || c.State == nil || c.Gate == nil || c.Admit == nil || c.Store == nil || c.Journal == nil {
		return nil, errors.New("registry: something it needs is missing")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	g := &Registry{Config: c, router: newRouter(), uploads: newUploads(c.Limits), claims: newClaims(), places: newPlaces(), bodies: newBodies(c.Store, kept.LookEvery), pages: newPages()}
	var err error
	if g.app, err = newApp(g); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, g.stop = context.WithCancel(context.Background())
	g.sweeping.Go(func() { g.sweep(ctx) })
	return g, nil
}

// Close ends the background work, which New began.
func (g *Registry) Close() error {
	g.stop()
	g.sweeping.Wait()
	g.trials.Wait()
	return g.app.Shutdown()
}

// Alone runs do while no blob, manifest or tag comes in: what nothing depends
// on stays so until do returned. Reads go on. Whoever pushes waits, so do is
// short.
func (g *Registry) Alone(do func() error) error {
	g.linking.Lock()
	defer g.linking.Unlock()
	return do()
}

// ServeHTTP answers one request.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.serve(w, r, (*exchange).open)
}

// serve answers a request that open lets in.
func (g *Registry) serve(w http.ResponseWriter, r *http.Request, open func(*exchange, *http.Request) *api.Error) {
	both := &struct { // in one piece: there is one for every request
		answer   answer
		exchange exchange
	}{}
	a, x := &both.answer, &both.exchange
	a.ResponseWriter, x.registry, x.answer = w, g, a
	defer g.recovered(a, r)
	if e := open(x, r); e != nil {
		a.refuse(e)
		return
	}
	defer x.close()
	a.exchange = x
	if x.route == routeReferrers {
		g.referrers(x, r)
		return
	}
	if !g.slow && x.quick(r) {
		return
	}
	g.app.ServeHTTP(a, x.request(r))
	a.finish()
}

// recovered turns a panic into an answer, or into a broken connection where
// one was begun.
func (g *Registry) recovered(a *answer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		g.Logger.Error("panic while answering", "method", r.Method, "path", r.URL.Path, "panic", p)
	}
	if p == http.ErrAbortHandler || a.wrote {
		panic(http.ErrAbortHandler)
	}
	a.refuse(internal())
}
