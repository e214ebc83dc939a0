package registry

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/registry/api"
)

// Slow has distribution answer everything, or not.
func (g *Registry) Slow(yes bool) { g.slow = yes }

// Sweep does what New began, until ctx ends: in the time of whoever calls it.
func (g *Registry) Sweep(ctx context.Context) { g.sweep(ctx) }

// LookEvery has manifests in memory compared with their files so often.
func (g *Registry) LookEvery(d time.Duration) { g.bodies = newBodies(g.Store, d) }

// ServeUngated answers a request without asking the gate: the server that a
// benchmark compares with. It is of the tests, and so in no program.
func (g *Registry) ServeUngated(w http.ResponseWriter, r *http.Request) {
	g.serve(w, r, func(x *exchange, r *http.Request) *api.Error {
		e := x.open(r)
		x.gated = false
		return e
	})
}

// Methods returns what every route answers.
func Methods() map[string][]string {
	all := make(map[string][]string)
	for route, methods := range actions {
		all[route] = slices.Sorted(maps.Keys(methods))
	}
	return all
}

// RouteOf returns the route of a path; "" for none.
func (g *Registry) RouteOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	r, err := http.NewRequest(http.MethodGet, "http://registry.example/", nil)
	if err != nil {
		return ""
	}
	r.URL.Path = path
	t, e := g.match(r)
	if e != nil || !canonical(path) {
		return ""
	}
	return t.route
}

// Plain reports whether the path of u is let in at one glance, and OneForm
// whether it is looked at.
func Plain(u *url.URL) bool { return plain(u) }

func OneForm(u *url.URL) bool {
	return !strings.Contains(u.EscapedPath(), "%") && canonical(u.Path)
}

// Settle waits until what nobody waits for is on record.
func (g *Registry) Settle() { g.trials.Wait() }
