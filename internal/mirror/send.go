package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// send sends one manifest behind the blobs it names.
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
	counted := p.progress.Reader("blob "+b.Digest.Short(), r, b.Size)
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
