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
//	request -> hygiene -> route, roles -> distribution -> closed wrappers -> storage
//	                                                       |        |
//	                                                      gate    admit -> store, journal
//
// What exists is what the journal says: manifests, tags and lists are answered
// from [state.State], bytes from disk after they were hashed again. A manifest
// on disk without its record is invisible. Hosts start from nothing: they get
// patches the gate allows them, the one file such a patch consists of, and
// bundles that admission verified.
package registry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/distribution/distribution/v3/registry/handlers"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
)

// A Store keeps bytes for good under their sha256. When Put returns nil they
// survive a power cut.
type Store interface {
	Put(b []byte) (attest.Digest, error)
}

// A Journal takes facts. When Append returns nil the record is durable and the
// state has applied it.
type Journal interface {
	Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error)
}

// Config is what a Registry needs.
type Config struct {
	Root    string // directory of manifests and blobs, in distribution's layout
	State   *state.State
	Gate    *gate.Gate
	Admit   *admit.Admitter
	Store   Store
	Journal Journal
	Logger  *slog.Logger // nil: silent
}

// A Registry answers below /v2/. Who asks is in the context of the request
// (package auth); nobody gets anything.
type Registry struct {
	Config
	app     *handlers.App
	router  *mux.Router
	driver  storagedriver.StorageDriver
	files   *files
	uploads *uploads
	// referenced is held for reading while a manifest is put, and for writing
	// while a blob is deleted that no manifest may reference.
	referenced sync.RWMutex
}

// New opens the registry in c.Root. Uploads that an earlier process left
// unfinished are removed. Its log messages, and those of everything in the
// process that logs with logrus, go to c.Logger.
func New(c Config) (*Registry, error) {
	if c.Root == "" || c.State == nil || c.Gate == nil || c.Admit == nil || c.Store == nil || c.Journal == nil {
		return nil, errors.New("registry: something it needs is missing")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Registry{Config: c, router: newRouter(), uploads: newUploads()}
	g.files = &files{dir: filepath.Join(c.Root, blobsPath), whole: make(map[attest.Digest]identity)}
	if err := syncFilesystem(c.Root); err != nil {
		return nil, err
	}
	var err error
	if g.app, err = newApp(g); err != nil {
		return nil, err
	}
	return g, g.removeUploads()
}

// Close ends the background work.
func (g *Registry) Close() error { return g.app.Shutdown() }

// ServeHTTP answers one request.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w}
	defer g.recovered(a, r)
	x, e := g.open(a, r)
	if e != nil {
		a.refuse(e)
		return
	}
	defer x.close()
	if x.route == routeReferrers {
		g.referrers(x, r)
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
