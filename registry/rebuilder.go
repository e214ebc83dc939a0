package registry

import (
	"net/http"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// maxRebuilder is how many of the places of a subject one rebuilder may use.
const maxRebuilder = 50

// mayPut holds whoever is a rebuilder, and no more, to what that is: attaching
// bundles, which admission verified, and what a rebuild left behind, to what is
// there, by digest. A share of the places keeps one of them from using up those
// of all others.
func (x *exchange) mayPut(a *admit.Admission) *api.Error {
	roles := x.registry.State.Roles(x.principal.ID, x.product)
	if slices.ContainsFunc(roles, func(r string) bool { return r == state.RolePublisher || r == state.RoleAdmin }) {
		return nil
	}
	m := a.Manifest
	if _, byDigest := x.named(); !byDigest || len(x.tags) > 0 || a.Bundle == nil && m.Type != attest.ArtifactRebuild {
		return forbidden("a rebuilder attaches bundles and artifacts of type %s, by digest, and nothing else", attest.ArtifactRebuild)
	}
	own := 0
	for _, r := range x.registry.State.Referrers(x.repository, m.SubjectName) {
		switch {
		case r.Artifact.Manifest == m.Artifact.Manifest:
			return nil // there already
		case r.By == x.principal.ID:
			own++
		}
	}
	if own >= maxRebuilder {
		return api.Errorf(http.StatusForbidden, api.CodeDenied, "%d manifests with this subject are yours, as many as a rebuilder may attach", own).
			Hint("ask a publisher of the product to delete some")
	}
	return nil
}
