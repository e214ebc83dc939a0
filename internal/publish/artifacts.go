package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
)

// mediaFile is the media type of the one file of a base or a patch.
const mediaFile = "application/octet-stream"

// say makes a statement and adds it to the result.
func (p *Publisher) say(ctx context.Context, r *Result, subject ocispec.Descriptor, c claim) error {
	s, err := p.attach(ctx, subject, c)
	if err != nil {
		return err
	}
	r.Statements = append(r.Statements, *s)
	return nil
}

// tag lets a tag name a manifest, once everything said about it is admitted.
func (p *Publisher) tag(ctx context.Context, what string, d ocispec.Descriptor, raw []byte, tag string) error {
	if tag == "" {
		return nil
	}
	return p.pushManifest(ctx, what, d, raw, tag)
}

// environment publishes the artifact of an environment, attached to its builder
// image, and environment/v1.
func (p *Publisher) environment(ctx context.Context, r *Result, env *attest.Environment) (ocispec.Descriptor, error) {
	none := ocispec.Descriptor{}
	body, err := env.Canonical()
	if err != nil {
		return none, err
	}
	image, err := p.repo.manifest(ctx, string(env.BuilderImage))
	if err != nil {
		return none, fmt.Errorf("builder image %s, which the environment names: %w", env.BuilderImage, err)
	}
	config := descriptor(attest.MediaEnvironment, body)
	raw, d, err := encode(ocispec.Manifest{
		ArtifactType: attest.ArtifactEnv,
		Config:       config,
		Layers:       []ocispec.Descriptor{emptyConfig()},
		Subject:      plain(image.descriptor),
	})
	if err != nil {
		return none, err
	}
	if err := p.pushBytes(ctx, "environment", config, body); err != nil {
		return none, err
	}
	if err := p.pushBytes(ctx, "environment", emptyConfig(), emptyJSON()); err != nil {
		return none, err
	}
	if err := p.pushManifest(ctx, "environment", d, raw, ""); err != nil {
		return none, err
	}
	r.Artifacts = append(r.Artifacts, Artifact{Role: "environment", Digest: attest.Digest(d.Digest), File: attest.Digest(config.Digest)})
	subjects := []attest.Subject{{Digest: attest.Digest(d.Digest)}, {Digest: attest.Digest(config.Digest)}}
	return d, p.say(ctx, r, d, claim{attest.TypeEnvironment, subjects, env})
}

// A File is a base or a patch on its way: the linked file and the capture of
// its build.
type File struct {
	Path    string
	Capture *build.Capture
	// Source is the archive that a contained build started from: it is kept with
	// what it made. "" of builds that were watched.
	Source string
	Tag    string
}

// check reads the file and holds it to its capture.
func (f File) check() (*build.Facts, error) {
	facts, err := build.ReadELF(f.Path)
	if err != nil {
		return nil, err
	}
	if f.Capture.Artifact.Digest != facts.File.Digest {
		return nil, fmt.Errorf("%s is not what the captured build made: it is %s, that made %s", f.Path, facts.File.Digest, f.Capture.Artifact.Digest)
	}
	return facts, f.checkSource()
}

// Base publishes a base, its environment, and what the base authority says
// about them.
func (p *Publisher) Base(ctx context.Context, f File) (*Result, error) {
	defer p.progress.Clear()
	facts, err := f.check()
	if err != nil {
		return nil, err
	}
	if facts.BuildID == "" {
		return nil, fmt.Errorf("%s has no GNU build-id, so hosts cannot tell that they run it; link it with -Wl,--build-id", f.Path)
	}
	kind, err := baseKind(facts)
	if err != nil {
		return nil, fmt.Errorf("%s %w", f.Path, err)
	}
	r := p.result()
	env, err := p.environment(ctx, r, f.Capture.Environment)
	if err != nil {
		return nil, err
	}
	d, raw, err := p.file(ctx, r, oneFile{f, "base", attest.ArtifactBase, env, facts})
	if err != nil {
		return nil, err
	}
	if err := p.source(ctx, r, d, f); err != nil {
		return nil, err
	}
	base := &attest.Base{
		Product:      p.config.Product,
		Kind:         kind,
		File:         facts.File,
		Environment:  f.Capture.EnvironmentDigest,
		Target:       facts.Target,
		Measurements: []attest.Measurement{{Kind: attest.MeasureELFFile, Digest: facts.File.Digest, BuildID: facts.BuildID}},
	}
	subjects := fileSubjects(d, facts)
	if err := p.say(ctx, r, d, claim{attest.TypeBase, subjects, base}); err != nil {
		return nil, err
	}
	if err := p.say(ctx, r, d, claim{attest.TypeProvenance, subjects, p.provenance(f.Capture)}); err != nil {
		return nil, err
	}
	return r, p.tag(ctx, "base", d, raw, f.Tag)
}

func fileSubjects(d ocispec.Descriptor, facts *build.Facts) []attest.Subject {
	return []attest.Subject{{Digest: attest.Digest(d.Digest)}, {Digest: facts.File.Digest}}
}

// oneFile is the artifact of a base or a patch.
type oneFile struct {
	File
	role    string
	typ     string // artifactType
	subject ocispec.Descriptor
	facts   *build.Facts
}

// manifest returns the manifest of the artifact of a base or a patch, which
// follows from the file, its name and its subject alone.
func (o oneFile) manifest() (layer, d ocispec.Descriptor, raw []byte, err error) {
	layer = ocispec.Descriptor{
		MediaType:   mediaFile,
		Digest:      digest.Digest(o.facts.File.Digest),
		Size:        o.facts.File.Size,
		Annotations: map[string]string{ocispec.AnnotationTitle: filepath.Base(o.Path)},
	}
	raw, d, err = encode(ocispec.Manifest{
		ArtifactType: o.typ,
		Config:       emptyConfig(),
		Layers:       []ocispec.Descriptor{layer},
		Subject:      plain(o.subject),
	})
	return layer, d, raw, err
}

// file pushes the artifact of a base or a patch and returns its manifest.
func (p *Publisher) file(ctx context.Context, r *Result, o oneFile) (ocispec.Descriptor, []byte, error) {
	layer, d, raw, err := o.manifest()
	if err != nil {
		return d, nil, err
	}
	if err := p.pushBlob(ctx, o.role, layer, func() (io.ReadCloser, error) { return os.Open(o.Path) }); err != nil {
		return d, nil, err
	}
	if err := p.pushBytes(ctx, o.role, emptyConfig(), emptyJSON()); err != nil {
		return d, nil, err
	}
	r.Artifacts = append(r.Artifacts, o.as(d))
	return d, raw, p.pushManifest(ctx, o.role, d, raw, "")
}

// as is the artifact with this manifest.
func (o oneFile) as(d ocispec.Descriptor) Artifact {
	return Artifact{Role: o.role, Digest: attest.Digest(d.Digest), File: o.facts.File.Digest, Tag: o.Tag}
}

// A Patch is a live patch on its way.
type Patch struct {
	File
	Base       string // tag or digest of its base in the repository
	Fixes      []string
	Replaces   []attest.Digest
	Requires   []attest.Digest
	Conflicts  []attest.Digest
	Revertible bool
	// DryRun: nothing is pushed, signed or logged. The result names the digest
	// that the patch's manifest will have, to embargo it before it is there.
	DryRun bool
}

// Patch publishes a live patch for a base that is published already. A patch
// that was built in another environment is a [*build.MismatchError] and is not
// pushed.
func (p *Publisher) Patch(ctx context.Context, patch Patch) (*Result, error) {
	defer p.progress.Clear()
	facts, err := patch.check()
	if err != nil {
		return nil, err
	}
	base, err := p.repo.manifest(ctx, patch.Base)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", patch.Base, err)
	}
	if base.ArtifactType != attest.ArtifactBase || len(base.Layers) != 1 {
		return nil, fmt.Errorf("%s is no base: its type is %q", patch.Base, base.ArtifactType)
	}
	if err := p.fits(ctx, base, patch.Capture); err != nil {
		return nil, err
	}
	r := p.result()
	predicate := patch.predicate(p.config.Product, base, facts)
	if err := describePatch(predicate, patch.Path); err != nil {
		return nil, err
	}
	one := oneFile{patch.File, "live-patch", attest.ArtifactPatch, base.descriptor, facts}
	_, d, raw, err := one.manifest()
	if err != nil {
		return nil, err
	}
	subjects := fileSubjects(d, facts)
	claims := []claim{
		{attest.TypeLivePatch, subjects, predicate},
		{attest.TypeProvenance, subjects, p.provenance(patch.Capture)},
	}
	if err := sayable(claims); err != nil {
		return nil, err
	}
	if patch.DryRun {
		r.DryRun, r.Artifacts = true, append(r.Artifacts, one.as(d))
		return r, nil
	}
	if _, _, err := p.file(ctx, r, one); err != nil {
		return nil, err
	}
	if err := p.source(ctx, r, d, patch.File); err != nil {
		return nil, err
	}
	for _, c := range claims {
		if err := p.say(ctx, r, d, c); err != nil {
			return nil, err
		}
	}
	return r, p.tag(ctx, "live patch", d, raw, patch.Tag)
}

// sayable refuses what could not be said, before anything is pushed: a patch
// nobody can say anything about would be left behind.
func sayable(claims []claim) error {
	for _, c := range claims {
		if _, err := attest.NewStatement(c.typ, c.subjects, c.predicate); err != nil {
			return err
		}
	}
	return nil
}

// fits compares the environment a patch was built in with its base's. Another
// one will do where a statement about the base vouches for it.
func (p *Publisher) fits(ctx context.Context, base *manifest, c *build.Capture) error {
	mismatch := errors.New("the base was imported, and nobody vouches for the patch's environment: patchfit publish equivalence")
	if base.Subject != nil {
		of, want, err := p.environmentOf(ctx, base)
		if err != nil || of == c.EnvironmentDigest {
			return err
		}
		mismatch = &build.MismatchError{Differences: want.Diff(c.Environment)}
	}
	if ok, err := p.vouched(ctx, base, c.EnvironmentDigest); ok || err != nil {
		return err
	}
	return mismatch
}

func (l Patch) predicate(product string, base *manifest, facts *build.Facts) *attest.LivePatch {
	return &attest.LivePatch{
		Product:     product,
		Kind:        attest.PatchELFTest,
		Base:        base.digest(),
		BaseFile:    attest.Digest(base.Layers[0].Digest),
		Environment: l.Capture.EnvironmentDigest,
		File:        facts.File,
		Unsigned:    facts.Digests.WithoutSignature,
		Code:        facts.Digests.Code,
		Functions:   facts.Functions,
		Imports:     facts.Imports,
		Fixes:       l.Fixes,
		Replaces:    l.Replaces,
		Requires:    l.Requires,
		Conflicts:   l.Conflicts,
		Revertible:  l.Revertible,
	}
}

// provenance says how a captured build went.
func (p *Publisher) provenance(c *build.Capture) *attest.Provenance {
	return Provenance(p.config.Product, p.builderID, c)
}

// Provenance says how a captured build of a product went (SLSA provenance v1).
// builderID is a URI of who ran it; "" is [ContainedID] or [BuilderID].
func Provenance(product, builderID string, c *build.Capture) *attest.Provenance {
	if builderID == "" {
		builderID = BuilderID
		if c.Contained {
			builderID = ContainedID
		}
	}
	out := &attest.Provenance{BuildDefinition: attest.BuildDefinition{
		BuildType:          attest.BuildType,
		ExternalParameters: attest.ExternalParameters{Product: product, Command: c.Command, Recipe: c.Recipe},
		InternalParameters: attest.InternalParameters{Contained: c.Contained},
		ResolvedDependencies: []attest.ResourceDescriptor{
			dependency(attest.DependencyEnvironment, c.EnvironmentDigest),
			dependency(attest.DependencyBuilder, c.Environment.BuilderImage),
			dependency(attest.DependencySource, c.Source),
		},
	}}
	if c.Commit != "" {
		out.BuildDefinition.ResolvedDependencies = append(out.BuildDefinition.ResolvedDependencies,
			attest.ResourceDescriptor{Name: "source-commit", Digest: map[string]string{"gitCommit": c.Commit}})
	}
	out.RunDetails.Builder.ID = builderID
	out.RunDetails.Metadata.InvocationID = invocation(string(c.Artifact.Digest), string(c.EnvironmentDigest), c.Started.UTC().Format(time.RFC3339))
	out.RunDetails.Metadata.StartedOn, out.RunDetails.Metadata.FinishedOn = c.Started.UTC(), c.Finished.UTC()
	return out
}

func dependency(name string, d attest.Digest) attest.ResourceDescriptor {
	return attest.ResourceDescriptor{Name: name, Digest: map[string]string{"sha256": d.Hex()}}
}

// invocation names one run of a builder, the same each time it is told of.
func invocation[T ~string](parts ...T) string {
	var all []byte
	for _, s := range parts {
		all = append(append(all, s...), 0)
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, all).String()
}
