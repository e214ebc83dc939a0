package control

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// evidence returns every admitted bundle about an artifact and what it stands
// on. A host sees statements of the types that count, and no manifest: it gets
// an artifact's bytes through the gate.
func (c *call) evidence() (answer, error) {
	q, err := c.query("repository", "digest")
	if err != nil {
		return nil, err
	}
	d, err := attest.ParseDigest(q["digest"])
	if err != nil {
		return nil, invalid(err)
	}
	if err := c.inRepository(q["repository"]); err != nil {
		return nil, err
	}
	m, ok := c.s.State.Manifest(q["repository"], d)
	if !ok {
		return nil, notFound("no manifest %s in %s", d, q["repository"])
	}
	if c.who.Kind == state.KindHost && c.s.State.Withheld(c.who.ID, m, time.Now()) {
		return nil, api.Errorf(http.StatusForbidden, string(verify.Embargoed), "%s is not handed out to host %s yet", d, c.who.ID).Hint("%s", verify.Embargoed.Remedy())
	}
	v := api.Evidence{SchemaVersion: api.SchemaVersion, Bundles: [][]byte{}}
	host, asked := c.who.Kind == state.KindHost, c.asksForRebuilds(q["repository"])
	if !host {
		if v.Manifest, err = c.s.Store.Get(d); err != nil {
			return nil, err
		}
	}
	for _, e := range c.chain(m) {
		if host && !counts(e.Type) && !(asked && isAboutRebuild(e.Type)) {
			continue
		}
		raw, err := c.s.Store.Get(e.Bundle)
		if err != nil {
			return nil, err
		}
		v.Bundles = append(v.Bundles, raw)
	}
	return answered(v, nil)
}

// inRepository clears the call for the product of a repository.
func (c *call) inRepository(repository string) error {
	product, ok := c.s.State.Product(repository)
	if !ok || len(c.s.State.Roles(c.who.ID, product)) == 0 {
		return notFound("no repository %.100q", repository)
	}
	return c.inProduct(product)
}

// counts reports whether statements of a predicate type can ever be evidence.
func counts(predicateType string) bool {
	return slices.Contains([]string{attest.TypeProvenance, attest.TypeEnvironment, attest.TypeBase, attest.TypeLivePatch, attest.TypeImport, attest.TypeEquivalence}, predicateType)
}

// isAboutRebuild reports whether statements of a type are evidence where a
// product asks for rebuilds.
func isAboutRebuild(predicateType string) bool {
	return predicateType == attest.TypeRebuild || predicateType == attest.TypeAdjudication
}

// asksForRebuilds reports whether a quorum is asked for in the product of a
// repository, so that its hosts count rebuilds, too.
func (c *call) asksForRebuilds(repository string) bool {
	p, ok := c.s.State.Trust().ProductFor(repository)
	return ok && p.Rebuilds != (attest.Rebuilds{})
}

// chain returns the statements about a manifest, about the base it names, the
// environments those name and their builder images, each once.
func (c *call) chain(m *state.Manifest) []state.StoredEvidence {
	w := &walk{state: c.s.State, repository: m.Repository, seen: make(map[attest.Digest]bool)}
	w.about(m.Artifact.Manifest)
	if m.Type == attest.ArtifactPatch {
		w.about(m.Subject)
	}
	return w.found
}

// A walk follows what statements name, from an artifact to its builder image.
type walk struct {
	state      *state.State
	repository string
	seen       map[attest.Digest]bool
	found      []state.StoredEvidence
}

func (w *walk) about(d attest.Digest) {
	if !w.first(d) {
		return
	}
	for _, e := range w.state.Evidence(w.repository, d) {
		w.take(e)
	}
}

func (w *walk) environment(d attest.Digest) {
	if !w.first(d) {
		return
	}
	for _, e := range w.state.EnvironmentEvidence(w.repository, d) {
		w.take(e)
	}
}

// first reports whether d is new to the walk. Manifests and environments are
// both digests of bytes: no two things share one.
func (w *walk) first(d attest.Digest) bool {
	if d == "" || w.seen[d] {
		return false
	}
	w.seen[d] = true
	return true
}

func (w *walk) take(e state.StoredEvidence) {
	if !w.first(e.Bundle) {
		return
	}
	w.found = append(w.found, e)
	if p := verify.As[attest.LivePatch](e.Evidence); p != nil {
		w.about(p.Base)
		w.environment(p.Environment)
	}
	if b := verify.As[attest.Base](e.Evidence); b != nil {
		w.environment(b.Environment)
	}
	if i := verify.As[attest.Import](e.Evidence); i != nil && i.Patch != nil {
		w.about(i.Patch.Base)
	}
	if env := verify.As[attest.Environment](e.Evidence); env != nil {
		w.about(env.BuilderImage)
	}
}

// offers lists the patches a host may have now. Nothing is decided by it.
func (c *call) offers() (answer, error) {
	q, err := c.query("host")
	if err != nil {
		return nil, err
	}
	h, err := c.queriedHost(q["host"])
	if err != nil {
		return nil, err
	}
	v := api.Offers{SchemaVersion: api.SchemaVersion, Host: h.ID, Offers: []api.Offer{}}
	now := time.Now()
	for _, product := range h.Products {
		repository, ok := c.s.State.Repository(product)
		if !ok || !c.sees(h, product) {
			continue
		}
		for _, m := range c.s.State.Manifests(repository, attest.ArtifactPatch) {
			if facts, ok := c.s.State.Facts(h.ID, repository, m.Artifact.Manifest, now); ok && policy.Decide(facts).Allow {
				v.Offers = append(v.Offers, c.offer(m, facts))
			}
		}
	}
	slices.SortFunc(v.Offers, func(a, b api.Offer) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Digest, b.Digest))
	})
	return answered(v, nil)
}

func (c *call) offer(m *state.Manifest, f *policy.Facts) api.Offer {
	o := api.Offer{
		Product: f.Product, Repository: m.Repository, Digest: m.Artifact.Manifest,
		Base: m.Subject, File: m.File, Size: m.FileSize, Tags: []string{}, Fixes: []string{},
	}
	if p := f.Patch.LivePatch(); p != nil {
		o.Fixes = p.Fixes
	}
	for _, tag := range c.s.State.Tags(m.Repository) {
		if d, ok := c.s.State.Tag(m.Repository, tag); ok && d == o.Digest {
			o.Tags = append(o.Tags, tag)
		}
	}
	return o
}

// revoke takes a revocation. It takes effect with its record.
func (c *call) revoke() (answer, error) {
	raw, v, err := c.sent()
	if err != nil {
		return nil, err
	}
	e, err := v.Revocation(raw)
	if err != nil {
		return nil, c.refusedTo(err)
	}
	revocation := verify.As[attest.Revocation](e)
	product := revocation.Product
	if err := c.inProduct(product); err != nil {
		return nil, err
	}
	if err := v.Since(revocation); err != nil {
		return nil, refused(err)
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	repository, ok := c.s.State.Repository(product)
	if !ok {
		return nil, notFound("no product %.100q", product)
	}
	if !c.s.State.Trust().Trusted(product, attest.RoleRevocation, e) {
		return nil, refusal(verify.UntrustedSigner, "", "key %s has no role revocation in product %s", e.Signer(), product)
	}
	sequence, err := c.journalRevocation(repository, e, raw)
	return answered(api.Revoked{SchemaVersion: api.SchemaVersion, Sequence: sequence, Payload: e.Payload()}, err)
}

// sent returns the bundle that was sent, and who can verify it.
func (c *call) sent() ([]byte, *verify.Verifier, error) {
	raw, err := c.raw(api.MaxBundle)
	if err != nil {
		return nil, nil, err
	}
	v := c.s.State.Verifier()
	if v == nil {
		return nil, nil, notFound("no product, because there is no trust policy yet")
	}
	return raw, v, nil
}

// refusedTo tells a refusal to those who could send a good revocation; whoever
// has the role nowhere learns nothing about trust here.
func (c *call) refusedTo(err error) error {
	if who := c.anywhere(); who != nil {
		return who
	}
	return refused(err)
}

// journalRevocation records a revocation, once: the same statement again is
// the one there is.
func (c *call) journalRevocation(repository string, e *verify.Evidence, raw []byte) (int64, error) {
	for _, have := range c.s.State.Revocations(repository) {
		if have.Evidence.Proven() && have.Evidence.Payload() == e.Payload() && have.Evidence.Signer() == e.Signer() {
			return have.Sequence, nil
		}
	}
	d, err := c.put(raw)
	if err != nil {
		return 0, err
	}
	r, err := c.append(ledger.KindStatement, ledger.StatementAdmitted{
		Repository: repository, Subject: e.Subject(), Bundle: d, Type: e.Type(), By: c.who.ID,
	})
	return r.Sequence, err
}

func (c *call) revocations() (answer, error) {
	q, err := c.query("product")
	if err != nil {
		return nil, err
	}
	if err := c.inProduct(q["product"]); err != nil {
		return nil, err
	}
	repository, ok := c.s.State.Repository(q["product"])
	if !ok {
		return nil, notFound("no product %.100q", q["product"])
	}
	v := api.Revocations{SchemaVersion: api.SchemaVersion, Product: q["product"], Bundles: [][]byte{}}
	for _, e := range c.s.State.Revocations(repository) {
		raw, err := c.s.Store.Get(e.Bundle)
		if err != nil {
			return nil, err
		}
		v.Bundles = append(v.Bundles, raw)
	}
	v.Count = int64(len(v.Bundles))
	return answered(v, nil)
}

// why evaluates every rule for a host and an artifact, and records nothing.
func (c *call) why() (answer, error) {
	q, err := c.query("host", "repository", "reference")
	if err != nil {
		return nil, err
	}
	h, err := c.queriedHost(q["host"])
	if err != nil {
		return nil, err
	}
	if err := c.inRepository(q["repository"]); err != nil {
		return nil, err
	}
	d, ok := c.s.State.Tag(q["repository"], q["reference"])
	if !ok {
		if d, err = attest.ParseDigest(q["reference"]); err != nil {
			return nil, notFound("no tag %.128q in %s", q["reference"], q["repository"])
		}
	}
	view, ok := c.s.State.View(h.ID, q["repository"], d, time.Now())
	if by := c.s.State.Condemned(q["repository"], d); by != nil && !ok {
		r := verify.As[attest.Revocation](by)
		return nil, api.Errorf(http.StatusForbidden, string(verify.Revoked), "manifest %s is not here, and revoked by %s %s: %s", d, r.Kind, r.Digest, r.Reason).Hint("%s", verify.Revoked.Remedy())
	}
	if !ok {
		return nil, notFound("no manifest %s in %s", d, q["repository"])
	}
	return answered(explain(h, q, d, view), nil)
}

func explain(h *state.Host, q map[string]string, d attest.Digest, view state.View) api.Why {
	decision := policy.Decide(view.Facts)
	return api.Why{
		SchemaVersion: api.SchemaVersion, Host: h.ID, Product: view.Facts.Product,
		Repository: q["repository"], Reference: q["reference"], Digest: d,
		Allow: decision.Allow, Basis: decision.Basis, Policy: view.Policy, Record: view.Record, Epoch: view.Epoch,
		Checks: api.Checks(policy.Explain(view.Facts)),
	}
}
