package publish

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/builder"
	"github.com/patchfit/patchfit/build/inventory"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
)

// BuilderImage publishes a builder image and its provenance, and with it what
// its papers have: its inventory, and the files that are kept.
func (p *Publisher) BuilderImage(ctx context.Context, l *build.Layout, tag string) (*Result, error) {
	defer p.progress.Clear()
	papers, err := builder.ReadPapers(l)
	if err != nil {
		return nil, err
	}
	r := p.result()
	d, err := p.image(ctx, r, l, papers)
	if err != nil {
		return nil, err
	}
	r.Artifacts[0].Tag = tag
	if err := p.say(ctx, r, d, claim{attest.TypeProvenance, []attest.Subject{{Digest: l.Digest}}, p.imageProvenance(l, papers)}); err != nil {
		return nil, err
	}
	return r, p.tag(ctx, "builder image", d, l.Manifest, tag)
}

// PushBuilderImage pushes a builder image, its inventory and the files that are
// kept to a repository, and says nothing about them: nobody signs.
func PushBuilderImage(ctx context.Context, server *api.Client, name string, l *build.Layout, progress *term.Progress) (*Result, error) {
	repo, err := open(server, name)
	if err != nil {
		return nil, err
	}
	p := &Publisher{config: Config{Server: server, Repository: name}, repo: repo, progress: progress}
	defer p.progress.Clear()
	papers, err := builder.ReadPapers(l)
	if err != nil {
		return nil, err
	}
	r := p.result()
	_, err = p.image(ctx, r, l, papers)
	return r, err
}

// image pushes a builder image and what is attached to it.
func (p *Publisher) image(ctx context.Context, r *Result, l *build.Layout, papers *builder.Papers) (ocispec.Descriptor, error) {
	d := descriptor(l.MediaType, l.Manifest)
	if err := p.pushFiles(ctx, "builder image", l, append([]ocispec.Descriptor{l.Config}, l.Layers...)); err != nil {
		return d, err
	}
	if err := p.pushManifest(ctx, "builder image", d, l.Manifest, ""); err != nil {
		return d, err
	}
	r.Artifacts = append(r.Artifacts, Artifact{Role: "builder-image", Digest: l.Digest})
	if papers == nil {
		return d, nil
	}
	if err := p.inventory(ctx, r, d, papers.Inventory); err != nil {
		return d, err
	}
	return d, p.inputs(ctx, r, d, l, papers)
}

// pushFiles pushes blobs of a layout.
func (p *Publisher) pushFiles(ctx context.Context, what string, l *build.Layout, files []ocispec.Descriptor) error {
	for _, d := range files {
		if err := p.pushBlob(ctx, what, d, func() (io.ReadCloser, error) { return l.Blob(d) }); err != nil {
			return err
		}
	}
	return nil
}

// inventory attaches an inventory to its image, as scanners look for one.
func (p *Publisher) inventory(ctx context.Context, r *Result, subject ocispec.Descriptor, spdx []byte) error {
	layer := descriptor(inventory.MediaSPDX, spdx)
	layer.Annotations = map[string]string{ocispec.AnnotationTitle: "builder.spdx.json"}
	if err := p.pushBytes(ctx, "inventory", layer, spdx); err != nil {
		return err
	}
	return p.attachment(ctx, r, "inventory", ocispec.Manifest{
		ArtifactType: inventory.MediaSPDX, Config: emptyConfig(), Layers: []ocispec.Descriptor{layer}, Subject: plain(subject),
	}, emptyJSON())
}

// filesInPart is how many files one artifact of kept inputs has: a registry takes
// no manifest with more than 128 layers.
const filesInPart = 100

// inputs attaches the files that are kept to their image, in as many artifacts as
// it takes.
func (p *Publisher) inputs(ctx context.Context, r *Result, subject ocispec.Descriptor, l *build.Layout, papers *builder.Papers) error {
	kept := papers.Kept()
	if len(kept) == 0 {
		return nil
	}
	if err := p.pushFiles(ctx, "kept inputs", l, kept); err != nil {
		return err
	}
	lock, err := papers.Lock.Canonical()
	if err != nil {
		return err
	}
	for part := range slices.Chunk(kept, filesInPart) {
		if err := p.attachment(ctx, r, "builder-inputs", ocispec.Manifest{
			ArtifactType: attest.ArtifactInputs, Config: descriptor(attest.MediaLock, lock), Layers: part, Subject: plain(subject),
		}, lock); err != nil {
			return err
		}
	}
	return nil
}

// attachment pushes a manifest with a subject, and the bytes of its config.
func (p *Publisher) attachment(ctx context.Context, r *Result, role string, m ocispec.Manifest, config []byte) error {
	raw, d, err := encode(m)
	if err != nil {
		return err
	}
	if err := p.pushBytes(ctx, role, m.Config, config); err != nil {
		return err
	}
	r.Artifacts = append(r.Artifacts, Artifact{Role: role, Digest: attest.Digest(d.Digest)})
	return p.pushManifest(ctx, role, d, raw, "")
}

// imageProvenance says what a builder image was made of: what its papers say or,
// of one that was packed, its layers.
func (p *Publisher) imageProvenance(l *build.Layout, papers *builder.Papers) *attest.Provenance {
	if papers != nil {
		return papers.Provenance(p.config.Product, cmp.Or(p.builderID, BuilderID))
	}
	out := &attest.Provenance{BuildDefinition: attest.BuildDefinition{
		BuildType:          attest.BuildType,
		ExternalParameters: attest.ExternalParameters{Product: p.config.Product, Command: []string{"patchfit", "env", "capture", "--pack"}},
	}}
	for i, layer := range l.Layers {
		name := attest.DependencySource
		if i > 0 {
			name = fmt.Sprintf("%s-%d", name, i)
		}
		out.BuildDefinition.ResolvedDependencies = append(out.BuildDefinition.ResolvedDependencies, dependency(name, attest.Digest(layer.Digest)))
	}
	out.RunDetails.Builder.ID = cmp.Or(p.builderID, BuilderID)
	out.RunDetails.Metadata.InvocationID = invocation(l.Digest)
	return out
}

// ofCreate is what to do where an image lacks its papers.
const ofCreate = "an image that patchfit builder create made has an inventory when it is pushed, and with keep: [packages] in its recipe its inputs"

// FetchInventory returns the inventory that is attached to an image.
func FetchInventory(ctx context.Context, server *api.Client, name, reference string) ([]byte, error) {
	r, m, err := openAt(ctx, server, name, reference)
	if err != nil {
		return nil, err
	}
	list, err := r.attachedTo(ctx, m, inventory.MediaSPDX)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		if len(one.Layers) != 1 {
			continue
		}
		b, err := r.blob(ctx, one.Layers[0], inventory.MaxSPDX)
		if err != nil {
			return nil, err
		}
		if inventory.About(b, m.digest()) {
			return b, nil
		}
	}
	return nil, api.Errorf(http.StatusNotFound, api.CodeNotFound, "none of the %d inventories attached to %s is one that patchfit made of it", len(list), m.digest()).Hint("%s", ofCreate)
}

// attachedTo returns the manifests of a type that are attached to one: at least
// one.
func (r *repository) attachedTo(ctx context.Context, m *manifest, artifactType string) ([]*manifest, error) {
	var found []ocispec.Descriptor
	err := r.Referrers(ctx, m.descriptor, artifactType, func(list []ocispec.Descriptor) error {
		for _, d := range list {
			if d.ArtifactType == artifactType {
				found = append(found, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, translate(err)
	}
	if len(found) == 0 {
		return nil, api.Errorf(http.StatusNotFound, api.CodeNotFound, "nothing of type %s is attached to %s", artifactType, m.digest()).Hint("%s", ofCreate)
	}
	var list []*manifest
	for _, d := range found {
		one, err := r.manifest(ctx, string(d.Digest))
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// Inputs are the kept files of a builder image, in a repository.
type Inputs struct {
	Image attest.Digest // that was made from them
	Lock  *builder.Lock

	repo   *repository
	layers map[attest.Digest]ocispec.Descriptor
}

// FindInputs returns the kept inputs of the image that a reference names.
func FindInputs(ctx context.Context, server *api.Client, name, reference string) (*Inputs, error) {
	r, m, err := openAt(ctx, server, name, reference)
	if err != nil {
		return nil, err
	}
	parts, err := r.attachedTo(ctx, m, attest.ArtifactInputs)
	if err != nil {
		return nil, err
	}
	lock := parts[0].Config
	in := &Inputs{Image: m.digest(), repo: r, layers: map[attest.Digest]ocispec.Descriptor{}}
	for _, part := range parts {
		if part.Config.Digest != lock.Digest {
			return nil, fmt.Errorf("inputs of two locks, %s and %s, are attached to %s: delete what was not pushed with it", lock.Digest, part.Config.Digest, m.digest())
		}
		for _, d := range part.Layers {
			in.layers[attest.Digest(d.Digest)] = d
		}
	}
	raw, err := r.blob(ctx, lock, builder.MaxLock)
	if err != nil {
		return nil, err
	}
	if in.Lock, err = builder.ParseLock(raw); err != nil {
		return nil, fmt.Errorf("inputs of %s: %w", m.digest(), err)
	}
	return in, nil
}

// Fetch gets into the store what of the inputs is not in it. Each file has the
// digest its lock says, or is refused.
func (in *Inputs) Fetch(ctx context.Context, to *builder.Store, progress *term.Progress) error {
	defer progress.Clear()
	missing := to.Missing(in.Lock.Inputs())
	for i, f := range missing {
		d, ok := in.layers[f.Digest]
		if !ok {
			continue // whoever needs it says so
		}
		progress.Step("fetching: %d of %d files", i, len(missing))
		if d.Size != f.Size {
			return fmt.Errorf("kept input %s has %d bytes, the lock says %d", f.Name, d.Size, f.Size)
		}
		if err := in.fetch(ctx, d, f, to); err != nil {
			return fmt.Errorf("fetching %s: %w", f.Name, err)
		}
	}
	return nil
}

func (in *Inputs) fetch(ctx context.Context, d ocispec.Descriptor, f builder.Input, to *builder.Store) error {
	body, err := in.repo.Blobs().Fetch(ctx, d)
	if err != nil {
		return translate(err)
	}
	defer body.Close()
	return to.Take(f, body)
}

// FetchImage fetches an image into a layout in dir, which must not be there yet.
func FetchImage(ctx context.Context, server *api.Client, name, reference, dir string, progress *term.Progress) (*build.Layout, error) {
	r, m, err := openAt(ctx, server, name, reference)
	if err != nil {
		return nil, err
	}
	raw, err := r.raw(ctx, m.descriptor)
	if err != nil {
		return nil, err
	}
	defer progress.Clear()
	return build.CopyLayout(dir, raw, m.descriptor, func(d ocispec.Descriptor) (io.ReadCloser, error) {
		progress.Step("fetching %s", short(d.Digest))
		body, err := r.Blobs().Fetch(ctx, d)
		if err != nil {
			return nil, translate(err)
		}
		return struct {
			io.Reader
			io.Closer
		}{progress.Reader("image", body, d.Size), body}, nil
	})
}

// raw returns the bytes of a manifest.
func (r *repository) raw(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	body, err := r.Manifests().Fetch(ctx, d)
	if err != nil {
		return nil, translate(err)
	}
	defer body.Close()
	b, err := whole(body, d)
	return bytes.Clone(b), err
}
