package registry

import (
	"context"
	"net/http"
	"time"

	v2 "github.com/distribution/distribution/v3/registry/api/v2"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// unknown is the one answer about a repository that is no product's, about one
// whose product who asks has no role in, and about one whose product an embargo
// keeps from the host that asks: nobody can tell these apart. Only the name it
// was asked by is in it.
func (x *exchange) unknown() *api.Error {
	return api.Errorf(http.StatusNotFound, codeNoName, "no product that you have a role in lives in repository %.200s", x.repository).
		Hint("see that the name is right; an admin of the product grants roles: patchfit admin grant, and serves it: patchfit admin product")
}

// withheld reports whether an embargo keeps a manifest from the host that asks.
func (x *exchange) withheld(m *state.Manifest) bool {
	return x.registry.State.Withheld(x.principal.ID, m, time.Now())
}

// tried has the gate decide, and so record for the auditors of an embargoed
// product, that a host which it is kept from asked for a patch of it. The host
// is answered meanwhile, and neither sooner nor later for it.
func (x *exchange) tried(product string) {
	g, name, host := x.registry, x.repository, x.principal.ID
	if x.action != read || !g.State.ShutOut(host, product, time.Now()) {
		return
	}
	d, ok := x.patchAsked()
	if !ok {
		return
	}
	g.trials.Go(func() {
		if _, err := g.Gate.Decide(context.Background(), host, name, d); err != nil {
			g.Logger.Error("a denial under an embargo could not be recorded", "host", host, "repository", name, "error", err)
		}
	})
}

// patchAsked returns the patch that a request names, by itself or its file.
func (x *exchange) patchAsked() (attest.Digest, bool) {
	d, ok := x.registry.State.Resolve(x.repository, x.reference)
	if !ok {
		d = attest.Digest(x.reference)
	}
	switch x.route {
	case v2.RouteNameManifest:
		if tagged, ok := x.registry.State.Tag(x.repository, x.reference); ok {
			d = tagged
		}
		m, ok := x.registry.State.Manifest(x.repository, d)
		return d, ok && m.Type == attest.ArtifactPatch
	case v2.RouteNameBlob:
		for _, m := range x.registry.State.Referencing(x.repository, d) {
			if m.Type == attest.ArtifactPatch && m.File == d {
				return m.Artifact.Manifest, true
			}
		}
	}
	return "", false
}
