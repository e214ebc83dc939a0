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

// reserved is how many of the places of a base or a patch are for others than its
// publishers: who uses up the last one would have nobody dissent any more.
const reserved = 200

// mayPut holds everybody to their share of the places of a subject, and whoever
// is a rebuilder, and no more, to what that is: attaching bundles, which
// admission verified, and what a rebuild left behind, to what is there, by digest.
func (x *exchange) mayPut(a *admit.Admission) error {
	roles := x.registry.State.Roles(x.principal.ID, x.product)
	if slices.ContainsFunc(roles, func(r string) bool { return r == state.RolePublisher || r == state.RoleAdmin }) {
		return x.leavesRoom(a.Manifest)
	}
	m := a.Manifest
	if _, byDigest := x.named(); !byDigest || len(x.tags) > 0 || a.Bundle == nil && m.Type != attest.ArtifactRebuild {
		return forbidden("a rebuilder attaches bundles and artifacts of type %s, by digest, and nothing else", attest.ArtifactRebuild)
	}
	own, ok := x.take(m, maxRebuilder, func(principal string) bool { return principal == x.principal.ID })
	if !ok {
		return api.Errorf(http.StatusForbidden, api.CodeDenied, "%d manifests with this subject are yours, as many as a rebuilder may attach", own).
			Hint("ask a publisher of the product to delete some")
	}
	return nil
}

// leavesRoom keeps publishers from using up the places of what is rebuilt.
func (x *exchange) leavesRoom(m *state.Manifest) error {
	subject, ok := x.registry.State.Manifest(x.repository, m.Subject)
	if !ok || subject.Type != attest.ArtifactBase && subject.Type != attest.ArtifactPatch {
		return nil
	}
	n, ok := x.take(m, admit.MaxReferrers-reserved, func(string) bool { return true })
	if ok {
		return nil
	}
	return api.Errorf(http.StatusForbidden, api.CodeDenied, "%d manifests have this subject, and the last %d places are for rebuilders", n, reserved).
		Hint("delete some that are not needed")
}
