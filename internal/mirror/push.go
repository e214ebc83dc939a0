package mirror

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// PushOptions are how a push goes. The zero options say nothing.
type PushOptions struct {
	Progress *term.Progress
}

// Pushed is what a push did.
type Pushed struct {
	Repositories []string
	Blobs        int64 // sent
	Bytes        int64 // of those
	Manifests    int64 // sent; the server had the others
	Present      int64 // manifests the server had
	Tags         int64 // moved
	Revocations  int64 // taken, or there already
	Skipped      []Refused
}

// Push brings a mirror into another server, as its publishers would: what is
// revoked first, subjects before what refers to them, bundles after what they
// are about and patches' last, tags at the end. The server verifies everything
// by its own trust policy, which has to be the mirror's or a later one. What it
// has is not sent again. Bundles it refuses because what they say is revoked,
// or because the trust policy no longer trusts their signer, are skipped and
// listed: they count for nothing.
func Push(ctx context.Context, l *Layout, server *api.Client, o *PushOptions) (*Pushed, error) {
	if o == nil {
		o = &PushOptions{}
	}
	defer o.Progress.Clear()
	policy, err := accepts(ctx, l, server)
	if err != nil {
		return nil, err
	}
	void, err := preflight(l, policy)
	if err != nil {
		return nil, err
	}
	out := &Pushed{}
	for i := range l.Record.Repositories {
		repo := &l.Record.Repositories[i]
		remote, err := openRepository(server, repo.Repository)
		if err != nil {
			return out, err
		}
		p := &push{layout: l, repo: repo, remote: remote, progress: o.Progress, void: void, out: out}
		if err := p.run(ctx); err != nil {
			return out, fmt.Errorf("%s: %w", repo.Repository, err)
		}
		out.Repositories = append(out.Repositories, repo.Repository)
	}
	return out, nil
}

// accepts asks whether the server goes by the mirror's trust policy or a later
// one, and returns the server's. Nobody's signature is checked here: what it
// says is used to tell beforehand what the server would refuse.
func accepts(ctx context.Context, l *Layout, server *api.Client) (*attest.TrustPolicy, error) {
	envelope, err := l.TrustPolicy()
	if err != nil {
		return nil, err
	}
	ours, err := peek(envelope)
	if err != nil {
		return nil, problem(Corrupt, "the mirror's trust policy: %v", err)
	}
	const remedy = "take it out of the mirror and push it: patchfit mirror trust LAYOUT -o policy.signed.json; patchfit trust push policy.signed.json"
	envelope, err = server.TrustPolicy(ctx)
	var answer *api.Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return nil, problem(Untrusted, "the server has no trust policy yet, the mirror was made under version %d", ours.Version).hint("%s", remedy)
	}
	if err != nil {
		return nil, err
	}
	theirs, err := peek(envelope)
	switch {
	case err != nil:
		return nil, problem(Untrusted, "the server's trust policy: %v", err)
	case theirs.Version < ours.Version:
		return nil, problem(Untrusted, "the server has trust policy version %d, the mirror was made under version %d", theirs.Version, ours.Version).hint("%s", remedy)
	case theirs.Version == ours.Version && !same(ours, theirs):
		return nil, problem(Untrusted, "there are two trust policies of version %d: the server has another than the mirror", ours.Version).
			hint("a mirror goes into a server of the same owners; ask them which policy is theirs")
	}
	return theirs, nil
}

func peek(envelope []byte) (*attest.TrustPolicy, error) {
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err != nil {
		return nil, err
	}
	return attest.ParseTrustPolicy(e.Payload)
}

func same(a, b *attest.TrustPolicy) bool {
	x, errX := strictjson.Canonical(a)
	y, errY := strictjson.Canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// preflight returns the bundles that count for nothing by the server's trust
// policy, and an error for what it would refuse for any other reason: better
// before the first byte than halfway.
func preflight(l *Layout, p *attest.TrustPolicy) (map[attest.Digest]*verify.Refusal, error) {
	for i := range l.Record.Repositories {
		if repo := &l.Record.Repositories[i]; !names(p, repo) {
			return nil, problem(Untrusted, "the server's trust policy has no product %s in repository %s", repo.Product, repo.Repository).
				hint("push the trust policy the mirror was made under, or a later one")
		}
	}
	a, err := newAssessor(p)
	if err != nil {
		return nil, err
	}
	found, err := a.all(l)
	if err != nil {
		return nil, err
	}
	void := map[attest.Digest]*verify.Refusal{}
	for _, f := range found {
		switch {
		case f.void():
			void[f.bundle] = f.refusal
		case f.refusal != nil:
			return nil, fmt.Errorf("the server would refuse bundle %s in %s: %w", f.bundle, f.repository, f.refusal)
		}
	}
	return void, nil
}

// A push brings one repository into a server.
type push struct {
	layout   *Layout
	repo     *Repository
	remote   *repository
	progress *term.Progress
	void     map[attest.Digest]*verify.Refusal
	out      *Pushed
}

func (p *push) run(ctx context.Context) error {
	manifests, err := p.layout.manifests(p.repo)
	if err != nil {
		return err
	}
	if err := p.revocations(ctx); err != nil {
		return err
	}
	for _, m := range inOrder(manifests) {
		if err := p.manifest(ctx, m); err != nil {
			return err
		}
	}
	for _, d := range p.repo.Detached {
		if err := p.detached(ctx, manifests[d.Subject], d.Bundle); err != nil {
			return err
		}
	}
	for _, t := range p.repo.Tags {
		if err := p.tag(ctx, t, manifests[t.Digest]); err != nil {
			return err
		}
	}
	return nil
}

// revocations go first: nothing that is revoked is to be had from the mirror,
// not even for the time of a copy.
func (p *push) revocations(ctx context.Context) error {
	for i, d := range p.repo.Revocations {
		if r := p.void[d.Digest]; r != nil {
			p.skip(d.Digest, r)
			continue
		}
		raw, err := p.layout.read(d, attest.MaxBundle)
		if err != nil {
			return err
		}
		p.progress.Step("%s: revocation %d of %d", p.repo.Repository, i+1, len(p.repo.Revocations))
		if _, err := p.remote.client.Revoke(ctx, raw); err != nil {
			return fmt.Errorf("revocation %s: %w", d.Digest, err)
		}
		p.out.Revocations++
	}
	return nil
}

// inOrder sorts manifests so that what others name comes before them, and what
// makes a patch fit last: bases and all that is said of them, then patches and
// what is said of those.
func inOrder(manifests map[attest.Digest]*manifest) []*manifest {
	o := &order{all: manifests, known: map[attest.Digest]place{}}
	list := make([]*manifest, 0, len(manifests))
	for _, m := range manifests {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *manifest) int {
		x, y := o.place(a), o.place(b)
		return cmp.Or(cmp.Compare(x.late, y.late), cmp.Compare(x.depth, y.depth), cmp.Compare(a.digest(), b.digest()))
	})
	return list
}

// An order knows the places of manifests.
type order struct {
	all   map[attest.Digest]*manifest
	known map[attest.Digest]place
}

// A place is when a manifest is sent.
type place struct {
	late  int // 1: a patch, or attached to one; 0: not
	depth int // how long the way of what it needs is
}

// place is behind everything m needs: its subject and its parts. Manifests
// name each other by digest, so there is no circle.
func (o *order) place(m *manifest) place {
	if p, ok := o.known[m.digest()]; ok {
		return p
	}
	p := place{}
	needs := slices.Clone(m.Manifests)
	if m.Subject != nil {
		needs = append(needs, *m.Subject)
	}
	for _, n := range needs {
		other := o.all[n.Digest]
		if other == nil {
			continue
		}
		q := o.place(other)
		p.late, p.depth = max(p.late, q.late), max(p.depth, q.depth+1)
	}
	if m.typ() == attest.ArtifactPatch {
		p.late = 1
	}
	o.known[m.digest()] = p
	return p
}

// manifest sends a manifest and what it consists of, unless the server has it.
func (p *push) manifest(ctx context.Context, m *manifest) error {
	if m.isBundle() {
		if r := p.void[m.Layers[0].Digest]; r != nil {
			p.skip(m.Layers[0].Digest, r)
			return nil
		}
	}
	raw, err := p.layout.read(m.descriptor, maxManifest)
	if err != nil {
		return err
	}
	return p.send(ctx, m, raw)
}

func (p *push) send(ctx context.Context, m *manifest, raw []byte) error {
	d := described(m.descriptor)
	p.progress.Step("%s: %s %s", p.repo.Repository, kind(m), m.digest().Short())
	there, err := p.remote.Manifests().Exists(ctx, d)
	if err != nil {
		return translate(err)
	}
	if there {
		p.out.Present++
		return nil
	}
	for _, b := range m.blobs() {
		if err := p.blob(ctx, b); err != nil {
			return err
		}
	}
	err = translate(p.remote.Manifests().PushReference(ctx, d, bytes.NewReader(raw), string(m.digest())))
	if r := revoked(err); r != nil && m.isBundle() {
		p.skip(m.Layers[0].Digest, r)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind(m), m.digest(), err)
	}
	p.out.Manifests++
	return nil
}

// revoked returns the refusal where the server says that a statement, or what
// it is about, is revoked.
func revoked(err error) *verify.Refusal {
	var answer *api.Error
	if !errors.As(err, &answer) {
		return nil
	}
	if answer.Code == string(verify.Revoked) {
		return &verify.Refusal{Reason: verify.Revoked, Fact: answer.Message, Remedy: answer.Remedy}
	}
	if fact, ok := bytes.CutPrefix([]byte(answer.Message), []byte(verify.Revoked+": ")); ok {
		return &verify.Refusal{Reason: verify.Revoked, Fact: string(fact), Remedy: answer.Remedy}
	}
	return nil
}

func (p *push) skip(bundle attest.Digest, r *verify.Refusal) {
	p.out.Skipped = append(p.out.Skipped, Refused{p.repo.Repository, bundle, r})
}

func (p *push) blob(ctx context.Context, b Descriptor) error {
	d := described(b)
	there, err := p.remote.Blobs().Exists(ctx, d)
	if err != nil {
		return translate(err)
	}
	if there {
		return nil
	}
	if err := check(p.layout, b.Digest, b.Size); err != nil {
		return err
	}
	r, _, err := p.layout.open(blobName(b.Digest))
	if err != nil {
		return err
	}
	defer r.Close()
	counted := &counter{r: r, report: func(n int64) { p.progress.Bytes("blob "+b.Digest.Short(), n, b.Size) }}
	if err := p.remote.Blobs().Push(ctx, d, counted); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return fmt.Errorf("blob %s: %w", b.Digest, translate(err))
	}
	p.out.Blobs++
	p.out.Bytes += b.Size
	return nil
}

// Annotations of a bundle's manifest, as cosign v3 writes them.
const (
	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
)

// detached attaches a bundle whose own manifest is gone, as cosign v3 does. The
// same bundle makes the same manifest.
func (p *push) detached(ctx context.Context, subject *manifest, bundle Descriptor) error {
	if r := p.void[bundle.Digest]; r != nil {
		p.skip(bundle.Digest, r)
		return nil
	}
	body, err := p.layout.read(bundle, attest.MaxBundle)
	if err != nil {
		return err
	}
	b, err := attest.ParseBundle(body)
	if err != nil {
		return problem(Corrupt, "bundle %s: %v", bundle.Digest, err)
	}
	empty := describe(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	raw, err := strictjson.Canonical(manifest{
		SchemaVersion: 2, MediaType: mediaManifest, ArtifactType: attest.ArtifactBundle,
		Config:      &part{Descriptor: empty},
		Layers:      []part{{Descriptor: bundle}},
		Subject:     &part{Descriptor: Descriptor{MediaType: subject.MediaType, Digest: subject.digest(), Size: subject.descriptor.Size}},
		Annotations: map[string]string{annotationContent: "dsse-envelope", annotationPredicate: b.Statement.Type},
	})
	if err != nil {
		return err
	}
	m, err := parseManifest(raw, mediaManifest)
	if err != nil {
		return err
	}
	if there, err := p.remote.Blobs().Exists(ctx, described(empty)); err == nil && !there {
		if err := p.remote.Blobs().Push(ctx, described(empty), bytes.NewReader([]byte("{}"))); err != nil {
			return translate(err)
		}
	}
	return p.send(ctx, m, raw)
}

// tag lets a tag name what it names at the source.
func (p *push) tag(ctx context.Context, t Tag, m *manifest) error {
	have, err := p.remote.Resolve(ctx, t.Tag)
	if err == nil && have.Digest == digest.Digest(t.Digest) {
		return nil
	}
	if err != nil && !errors.Is(err, errdef.ErrNotFound) {
		return fmt.Errorf("tag %s: %w", t.Tag, translate(err))
	}
	raw, err := p.layout.read(m.descriptor, maxManifest)
	if err != nil {
		return err
	}
	if err := p.remote.Manifests().PushReference(ctx, described(m.descriptor), bytes.NewReader(raw), t.Tag); err != nil {
		return fmt.Errorf("tag %s: %w", t.Tag, translate(err))
	}
	p.out.Tags++
	return nil
}

func described(d Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size}
}
