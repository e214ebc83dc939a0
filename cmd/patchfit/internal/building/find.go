package building

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/rebuild"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// An artifact is a base or a live patch in a repository, and what verified
// statements say of it, by the trust policy pinned at login.
type artifact struct {
	*publish.Found
	session     *shell.Session
	repository  string
	product     string
	environment attest.Digest // as its own statement names it
	provenance  []*attest.Provenance
}

// findArtifact resolves a reference and verifies what is said about it.
func (a verbs) findArtifact(ctx context.Context, ref shell.Reference) (*artifact, error) {
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	x := &artifact{session: s, repository: ref.Repository}
	if x.Found, err = publish.Resolve(ctx, s.Client, ref.Repository, ref.Name()); err != nil {
		return nil, err
	}
	if x.Type != attest.ArtifactBase && x.Type != attest.ArtifactPatch {
		return nil, exit.BadUsage(fmt.Errorf("%s is no base and no live patch", ref.Name()), "these are built again; a builder image is made again by: patchfit builder create --from-inputs")
	}
	c, err := x.checker(ctx)
	if err != nil {
		return nil, err
	}
	e, err := s.Client.Evidence(ctx, x.repository, x.Manifest)
	if err != nil {
		return nil, err
	}
	for _, raw := range e.Bundles {
		x.learn(c, raw)
	}
	if x.environment == "" {
		return nil, exit.With(exit.NotFound, "NO_ATTESTATION: no statement of who publishes it counts, so it is not known what it is", "look at all of them: patchfit verify "+x.repository+"@"+string(x.Manifest))
	}
	return x, nil
}

// checker returns what holds statements about the artifact to the pinned policy.
func (x *artifact) checker(ctx context.Context) (*verifying.Checker, error) {
	p, err := x.session.PinnedPolicy(ctx)
	if err != nil {
		return nil, err
	}
	if x.product, err = x.session.Product(ctx, "", x.repository); err != nil {
		return nil, err
	}
	c, err := verifying.NewChecker(p, x.product)
	if err != nil {
		return nil, err
	}
	revoked, err := x.session.Client.Revocations(ctx, x.product)
	if err != nil {
		return nil, err
	}
	return c.Revoked(revoked.Bundles, "the server").About(verify.Artifact{Manifest: x.Manifest, File: x.File}, x.Type), nil
}

// learn takes what a bundle about the artifact says, where it counts.
func (x *artifact) learn(c *verifying.Checker, raw []byte) {
	b, err := attest.ParseBundle(raw)
	if err != nil || b.Statement.Subjects[0].Digest != x.Manifest || !c.One("", raw).Verified {
		return
	}
	switch p := b.Statement.Predicate.(type) {
	case *attest.LivePatch:
		x.environment = p.Environment
	case *attest.Base:
		x.environment = p.Environment
	case *attest.Provenance:
		x.provenance = append(x.provenance, p)
	}
}

// order returns what to build; an [*rebuild.Unfit] where what is said does not
// suffice.
func (x *artifact) order(ctx context.Context) (*rebuild.Order, error) {
	if len(x.provenance) == 0 {
		return nil, &rebuild.Unfit{Fact: "nobody whose word counts says how it was built (NO_PROVENANCE)"}
	}
	env, err := publish.FetchEnvironment(ctx, x.session.Client, x.repository, string(x.Manifest))
	if err != nil {
		return nil, err
	}
	if d, err := env.Digest(); err != nil || d != x.environment {
		return nil, errors.Join(err, &rebuild.Unfit{Fact: fmt.Sprintf("it is attached to environment %s, its statement names %s", d, x.environment)})
	}
	var asked []string
	var o *rebuild.Order
	for _, p := range x.provenance {
		if o, err = rebuild.Read(p, env); err != nil {
			return nil, err
		}
		o.Manifest, o.File, o.Patch = x.Manifest, x.File, x.Type == attest.ArtifactPatch
		raw, err := strictjson.Canonical(o)
		if err != nil {
			return nil, err
		}
		if asked = append(asked, string(raw)); len(slices.Compact(slices.Clone(asked))) > 1 {
			return nil, &rebuild.Unfit{Fact: "two statements of how it was built count, and say different things"}
		}
	}
	return o, nil
}

// gone reports whether the server answered that something is not there.
func gone(err error) bool {
	e := (*api.Error)(nil)
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}
