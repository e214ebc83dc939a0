package publish

import (
	"context"
	"fmt"
	"path"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
)

// An Imported is a base or a live patch that others built, on its way.
type Imported struct {
	Bytes  []byte
	Import *attest.Import
	Tag    string
}

// A Target is a base in the repository that a patch is for.
type Target struct {
	Manifest, File attest.Digest
	descriptor     ocispec.Descriptor
}

// Target finds the base with this tag or digest.
func (p *Publisher) Target(ctx context.Context, reference string) (*Target, error) {
	m, err := p.repo.manifest(ctx, reference)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", reference, err)
	}
	if m.ArtifactType != attest.ArtifactBase || len(m.Layers) != 1 {
		return nil, fmt.Errorf("%s is no base: its type is %q", reference, m.ArtifactType)
	}
	return &Target{m.digest(), attest.Digest(m.Layers[0].Digest), m.descriptor}, nil
}

// Import publishes what others built, and import/v1 about it. A patch is
// attached to its base; a base to nothing, because nobody knows its environment.
func (p *Publisher) Import(ctx context.Context, i Imported) (*Result, error) {
	defer p.progress.Clear()
	role, typ := "base", attest.ArtifactBase
	var subject *ocispec.Descriptor
	if of := i.Import.Patch; of != nil {
		role, typ = "live-patch", attest.ArtifactPatch
		base, err := p.Target(ctx, string(of.Base))
		if err != nil {
			return nil, err
		}
		subject = plain(base.descriptor)
	}
	layer := ocispec.Descriptor{
		MediaType: mediaFile, Digest: digest.Digest(i.Import.File.Digest), Size: i.Import.File.Size,
		Annotations: map[string]string{ocispec.AnnotationTitle: path.Base(i.Import.Path)},
	}
	raw, d, err := encode(ocispec.Manifest{ArtifactType: typ, Config: emptyConfig(), Layers: []ocispec.Descriptor{layer}, Subject: subject})
	if err != nil {
		return nil, err
	}
	c := claim{attest.TypeImport, []attest.Subject{{Digest: attest.Digest(d.Digest)}, {Digest: i.Import.File.Digest}}, i.Import}
	if err := sayable([]claim{c}); err != nil {
		return nil, err
	}
	if err := p.pushBytes(ctx, role, layer, i.Bytes); err != nil {
		return nil, err
	}
	if err := p.pushBytes(ctx, role, emptyConfig(), emptyJSON()); err != nil {
		return nil, err
	}
	if err := p.pushManifest(ctx, role, d, raw, ""); err != nil {
		return nil, err
	}
	r := p.result()
	r.Artifacts = append(r.Artifacts, Artifact{Role: role, Digest: attest.Digest(d.Digest), File: i.Import.File.Digest, Tag: i.Tag})
	if err := p.say(ctx, r, d, c); err != nil {
		return nil, err
	}
	return r, p.tag(ctx, role, d, raw, i.Tag)
}
