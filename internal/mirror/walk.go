package mirror

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
)

// A walk copies what can be reached in one repository: from tags and digests
// up to what they are attached to, and down to what refers to them.
type walk struct {
	in       *ingest
	repo     *repository
	whole    bool // follow all referrers, not only what is said about the selection
	progress *term.Progress
	found    map[attest.Digest]*manifest
	queue    []attest.Digest
	stats    *Stats
}

// Stats count what a copy did.
type Stats struct {
	Fetched int64 `json:"fetched"` // blobs and manifests that came
	Bytes   int64 `json:"bytes"`   // of those
	Present int64 `json:"present"` // that were there already
	// LeftOut are manifests that name something by another digest than a
	// sha256, as REPOSITORY@DIGEST; what refers to them is left out too.
	LeftOut []string `json:"leftOut"`
}

// tag resolves a tag and begins there.
func (w *walk) tag(ctx context.Context, tag string) (attest.Digest, error) {
	named, err := w.repo.Resolve(ctx, tag)
	if err != nil {
		return "", translate(err)
	}
	d, err := attest.ParseDigest(string(named.Digest))
	if err != nil {
		return "", problem(Corrupt, "the source says the tag %s names %v", tag, err)
	}
	w.queue = append(w.queue, d)
	return d, nil
}

// keep puts a manifest that came into the layout.
func (w *walk) keep(m *manifest, raw []byte) error {
	if !w.in.sure[m.digest()] {
		w.stats.Fetched++
		w.stats.Bytes += int64(len(raw))
	}
	return w.in.put(m.descriptor, raw)
}

// run copies until there is nothing new.
func (w *walk) run(ctx context.Context) error {
	for len(w.queue) > 0 {
		d := w.queue[0]
		w.queue = w.queue[1:]
		if w.found[d] != nil {
			continue
		}
		if len(w.found) >= maxManifests {
			return problem(Corrupt, "repository %s has more than %d manifests", w.repo.name, maxManifests)
		}
		w.progress.Step("%s: %d manifests, %s", w.repo.name, len(w.found), d.Short())
		if err := w.visit(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) visit(ctx context.Context, d attest.Digest) error {
	m, err := w.get(ctx, d)
	if errors.Is(err, errForeign) {
		w.leave(d)
		return nil
	}
	if err != nil {
		return err
	}
	w.found[d] = m
	for _, b := range m.blobs() {
		if err := w.blob(ctx, b); err != nil {
			return err
		}
	}
	for i := range m.Manifests {
		w.queue = append(w.queue, m.Manifests[i].Digest)
	}
	if err := w.up(ctx, m); err != nil {
		return err
	}
	list, err := w.repo.referrers(ctx, m.descriptor)
	if err != nil {
		return err
	}
	for _, r := range list {
		if w.whole || !ofTheLine(r.ArtifactType) {
			w.queue = append(w.queue, r.Digest)
		}
	}
	return nil
}

// leave notes a manifest that a mirror cannot hold.
func (w *walk) leave(d attest.Digest) {
	name := w.repo.name + "@" + string(d)
	if !slices.Contains(w.stats.LeftOut, name) {
		w.stats.LeftOut = append(w.stats.LeftOut, name)
	}
}

// ofTheLine tells artifacts that follow from their subject from what is said
// about it.
func ofTheLine(artifactType string) bool {
	return slices.Contains([]string{attest.ArtifactEnv, attest.ArtifactBase, attest.ArtifactPatch}, artifactType)
}

// up follows a manifest to its subject, which need not exist.
func (w *walk) up(ctx context.Context, m *manifest) error {
	if m.Subject == nil || w.found[m.Subject.Digest] != nil {
		return nil
	}
	_, err := w.get(ctx, m.Subject.Digest)
	var answer *api.Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return nil
	}
	if errors.Is(err, errForeign) {
		w.leave(m.Subject.Digest)
		return nil
	}
	w.queue = append(w.queue, m.Subject.Digest)
	return err
}

// get returns a manifest: from the layout, where an earlier run left it, else
// from the source.
func (w *walk) get(ctx context.Context, d attest.Digest) (*manifest, error) {
	if m := w.kept(d); m != nil {
		return m, nil
	}
	m, raw, err := w.repo.manifest(ctx, string(d))
	if err != nil {
		return nil, err
	}
	return m, w.keep(m, raw)
}

// kept returns a manifest that is in the layout already, or in an older mirror,
// and says of what type it is.
func (w *walk) kept(d attest.Digest) *manifest {
	raw, ok := w.there(d)
	if !ok {
		return nil
	}
	var typ struct {
		MediaType string `json:"mediaType,omitzero"`
	}
	if err := strictjson.UnmarshalForeign(raw, maxManifest, &typ); err != nil {
		return nil
	}
	m, err := parseManifest(raw, typ.MediaType)
	if err != nil {
		return nil
	}
	if !w.in.sure[d] {
		w.stats.Present++
	}
	if w.in.put(m.descriptor, raw) != nil {
		return nil
	}
	return m
}

// there returns the bytes of a manifest that was copied before.
func (w *walk) there(d attest.Digest) ([]byte, bool) {
	for _, f := range []files{w.in, w.in.seed} {
		if f == nil {
			continue
		}
		if raw, err := readFile(f, blobName(d), maxManifest); err == nil && attest.DigestOf(raw) == d {
			return raw, true
		}
	}
	return nil, false
}

// blob copies a blob that is not there: from an older mirror, else from the
// source.
func (w *walk) blob(ctx context.Context, d Descriptor) error {
	sure := w.in.sure[d.Digest]
	there, err := w.in.has(d)
	if err != nil {
		return err
	}
	if there {
		if !sure {
			w.stats.Present++
		}
		return nil
	}
	if w.in.seed != nil && check(w.in.seed, d.Digest, d.Size) == nil {
		if _, err := w.in.fetch(ctx, d, fromFiles(w.in.seed, d), nil); err == nil {
			w.stats.Present++
			return nil
		}
	}
	came, err := w.in.fetch(ctx, d, w.repo.blob(d.Digest), func(done int64) {
		w.progress.Bytes("blob "+d.Digest.Short(), done, d.Size)
	})
	w.stats.Bytes += came
	if err != nil {
		return err
	}
	w.stats.Fetched++
	return nil
}

// fromFiles opens a blob of a layout.
func fromFiles(f files, d Descriptor) fetcher {
	return func(context.Context, int64) (io.ReadCloser, int64, error) {
		r, _, err := f.open(blobName(d.Digest))
		return r, 0, err
	}
}

// detached copies the bundles that are evidence at the source although no
// manifest carries them any more: whoever deletes a referrer deletes no
// evidence, dissent least of all.
func (w *walk) detached(ctx context.Context) ([]Detached, error) {
	carried := map[attest.Digest]bool{}
	for _, m := range w.found {
		if m.isBundle() {
			carried[m.Layers[0].Digest] = true
		}
	}
	all := []Detached{}
	for _, d := range slices.Sorted(maps.Keys(w.found)) {
		if w.found[d].isBundle() {
			continue
		}
		w.progress.Step("%s: evidence about %s", w.repo.name, d.Short())
		e, err := w.repo.client.Evidence(ctx, w.repo.name, d)
		if err != nil {
			return nil, err
		}
		for _, raw := range e.Bundles {
			if b, err := attest.ParseBundle(raw); err != nil || b.Statement.Subjects[0].Digest != d || carried[attest.DigestOf(raw)] {
				continue
			}
			carried[attest.DigestOf(raw)] = true
			bundle, err := w.bundle(raw)
			if err != nil {
				return nil, err
			}
			all = append(all, Detached{Subject: d, Bundle: bundle})
		}
	}
	slices.SortFunc(all, byBundle)
	return all, nil
}

// bundle puts a bundle that no manifest carries into the layout.
func (w *walk) bundle(raw []byte) (Descriptor, error) {
	d := describe(attest.ArtifactBundle, raw)
	if len(raw) > attest.MaxBundle {
		return d, problem(Corrupt, "bundle %s has %d bytes, want at most %d", d.Digest, len(raw), attest.MaxBundle)
	}
	return d, w.in.put(d, raw)
}

// revocations copies the product's revocations, all of them or none.
func (w *walk) revocations(ctx context.Context, product string) ([]Descriptor, error) {
	answer, err := w.repo.client.Revocations(ctx, product)
	if err != nil {
		return nil, err
	}
	if answer.Count != int64(len(answer.Bundles)) {
		return nil, problem(RolledBack, "the source says it has %d revocations of product %s and sends %d", answer.Count, product, len(answer.Bundles))
	}
	all := []Descriptor{}
	for _, raw := range answer.Bundles {
		d, err := w.bundle(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// channels copies the newest version of each channel. A source that does not
// know of channels has none.
func (w *walk) channels(ctx context.Context, product string) ([]Descriptor, error) {
	answer, err := w.repo.client.Channels(ctx, product)
	var no *api.Error
	if errors.As(err, &no) && no.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Descriptor
	for _, c := range answer.Channels {
		d, err := w.bundle(c.Bundle)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// manifests returns what was found, sorted by digest.
func (w *walk) manifests() []Descriptor {
	all := make([]Descriptor, 0, len(w.found))
	for _, m := range w.found {
		all = append(all, m.descriptor)
	}
	slices.SortFunc(all, byDigest)
	return all
}
