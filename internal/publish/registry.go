package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
)

const maxManifest = 4 << 20

// A repository is the OCI side of a server for one repository.
type repository struct{ *remote.Repository }

// open returns a repository of a server. Whoever the client is there, it is
// here too.
func open(server *api.Client, name string) (*repository, error) {
	u, err := url.Parse(server.Server())
	if err != nil {
		return nil, err
	}
	repo, err := remote.NewRepository(u.Host + "/" + name)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", name, err)
	}
	repo.Client = server.HTTP()
	repo.PlainHTTP = u.Scheme == "http"
	repo.MaxMetadataBytes = maxManifest
	// Bundles are found through the referrers API; its absence is an error, not
	// a reason to write tags nobody gates.
	return &repository{repo}, repo.SetReferrersCapability(true)
}

// translate makes what a registry or log answered an [*api.Error], the form
// in which the rest of the server answers.
func translate(err error) error {
	var resp *errcode.ErrorResponse
	switch {
	case errors.As(err, &resp) && len(resp.Errors) > 0:
		return split(&api.Error{Status: resp.StatusCode, Code: resp.Errors[0].Code, Message: resp.Errors[0].Message})
	case errors.As(err, &resp):
		return api.Errorf(resp.StatusCode, "", "%s %s: the server answered %s", resp.Method, resp.URL.Path, http.StatusText(resp.StatusCode))
	case errors.Is(err, errdef.ErrNotFound):
		return api.Errorf(http.StatusNotFound, api.CodeNotFound, "%v", err)
	}
	return err
}

// split takes the next step out of the one line a registry answers with:
// fact; next step.
func split(e *api.Error) *api.Error {
	if i := strings.LastIndex(e.Message, "; "); i >= 0 && e.Remedy == "" {
		e.Message, e.Remedy = e.Message[:i], e.Message[i+len("; "):]
	}
	return e
}

// pushBlob pushes one blob unless the repository has it.
func (p *Publisher) pushBlob(ctx context.Context, what string, d ocispec.Descriptor, open func() (io.ReadCloser, error)) error {
	if there, err := p.repo.Blobs().Exists(ctx, d); err == nil && there {
		return nil
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	p.progress.Step("%s: pushing %s", what, short(d.Digest))
	counted := p.progress.Reader(what, r, d.Size)
	if err := p.repo.Blobs().Push(ctx, d, counted); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return fmt.Errorf("pushing %s: %w", what, translate(err))
	}
	return nil
}

func (p *Publisher) pushBytes(ctx context.Context, what string, d ocispec.Descriptor, b []byte) error {
	return p.pushBlob(ctx, what, d, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
}

// pushManifest pushes a manifest, by its digest or a tag. The server takes the
// same one twice.
func (p *Publisher) pushManifest(ctx context.Context, what string, d ocispec.Descriptor, raw []byte, tag string) error {
	reference := tag
	if tag == "" {
		reference = string(d.Digest)
	}
	p.progress.Step("%s: pushing the manifest", what)
	if err := p.repo.Manifests().PushReference(ctx, d, bytes.NewReader(raw), reference); err != nil {
		return fmt.Errorf("pushing %s: %w", what, translate(err))
	}
	return nil
}

func descriptor(mediaType string, b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(attest.DigestOf(b)), Size: int64(len(b))}
}

// encode returns a manifest's bytes, the same for the same manifest.
func encode(m ocispec.Manifest) ([]byte, ocispec.Descriptor, error) {
	m.Versioned = specs.Versioned{SchemaVersion: 2}
	m.MediaType = ocispec.MediaTypeImageManifest
	raw, err := json.Marshal(m)
	d := descriptor(ocispec.MediaTypeImageManifest, raw)
	d.ArtifactType = m.ArtifactType
	return raw, d, err
}

// plain drops what a subject's descriptor need not say.
func plain(d ocispec.Descriptor) *ocispec.Descriptor {
	return &ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// Annotations of a bundle's manifest, as cosign v3 writes them.
const (
	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
)

// pushReferrer attaches a bundle to subject, as cosign v3 does.
func (p *Publisher) pushReferrer(ctx context.Context, subject ocispec.Descriptor, bundle []byte, s *Statement) (ocispec.Descriptor, error) {
	layer := descriptor(attest.ArtifactBundle, bundle)
	raw, d, err := encode(ocispec.Manifest{
		ArtifactType: attest.ArtifactBundle,
		Config:       emptyConfig(),
		Layers:       []ocispec.Descriptor{layer},
		Subject:      plain(subject),
		Annotations: map[string]string{
			ocispec.AnnotationCreated: s.Signed.Format(time.RFC3339),
			annotationContent:         "dsse-envelope",
			annotationPredicate:       s.Type,
		},
	})
	if err != nil {
		return d, err
	}
	if err := p.pushBytes(ctx, "bundle", layer, bundle); err != nil {
		return d, err
	}
	if err := p.pushBytes(ctx, "bundle", emptyConfig(), emptyJSON()); err != nil {
		return d, err
	}
	return d, p.pushManifest(ctx, "bundle", d, raw, "")
}

func emptyJSON() []byte { return []byte("{}") }

func emptyConfig() ocispec.Descriptor { return descriptor(ocispec.MediaTypeEmptyJSON, emptyJSON()) }

// describe reads what a bundle of our own says.
func describe(bundle []byte) (*Statement, error) {
	b, err := attest.ParseBundle(bundle)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	s := &Statement{Type: b.Statement.Type, Subject: b.Statement.Subjects[0].Digest, Payload: attest.DigestOf(b.Envelope.Payload)}
	s.LogIndex = b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0].GetLogIndex()
	stamps := b.Sigstore.GetVerificationMaterial().GetTimestampVerificationData().GetRfc3161Timestamps()
	stamp, err := timestamp.ParseResponse(stamps[0].GetSignedTimestamp())
	if err != nil {
		return nil, fmt.Errorf("reading the bundle's timestamp: %w", err)
	}
	s.Signed = stamp.Time.UTC()
	return s, nil
}

// attached returns a bundle with payload, signed by our key, that is attached
// to subject already; nil where there is none.
func (p *Publisher) attached(ctx context.Context, subject ocispec.Descriptor, payload []byte) ([]byte, error) {
	var found []byte
	err := p.eachBundle(ctx, subject, func(raw []byte, b *attest.Bundle) {
		if found == nil && bytes.Equal(b.Envelope.Payload, payload) && p.mine(b) {
			found = raw
		}
	})
	return found, err
}

// mine reports whether b is by the signer of this publish: its key, or its name,
// for certificates of one name each have a key of their own. That the server took
// the certificate means that the trust policy named its authority.
func (p *Publisher) mine(b *attest.Bundle) bool {
	c := p.config.Certificate
	if c == nil || b.Certificate == nil {
		return c == nil && b.Certificate == nil && b.Envelope.Verify(p.key) == nil
	}
	return b.Certificate.SAN() == c.SAN() && b.Certificate.Issuer() == c.Issuer() && b.Envelope.Verify(b.Certificate.SigningKey()) == nil
}

func (p *Publisher) readBundle(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	m, err := p.repo.manifest(ctx, string(d.Digest))
	if err != nil || len(m.Layers) != 1 {
		return nil, err
	}
	return p.repo.blob(ctx, m.Layers[0], attest.MaxBundle)
}

// blob fetches a small blob.
func (r *repository) blob(ctx context.Context, d ocispec.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("blob %s of %d bytes exceeds the limit of %d", d.Digest, d.Size, limit)
	}
	body, err := r.Blobs().Fetch(ctx, d)
	if err != nil {
		return nil, translate(err)
	}
	defer body.Close()
	return whole(body, d)
}

// whole reads what has to be exactly d.
func whole(r io.Reader, d ocispec.Descriptor) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, d.Size+1))
	if err != nil {
		return nil, err
	}
	if got := attest.DigestOf(b); string(got) != string(d.Digest) {
		return nil, fmt.Errorf("the server answers %s where %s was asked for", got, d.Digest)
	}
	return b, nil
}

// A manifest of the repository, as it was asked for.
type manifest struct {
	ocispec.Manifest
	descriptor ocispec.Descriptor
}

// manifest fetches a manifest by tag or digest.
func (r *repository) manifest(ctx context.Context, reference string) (*manifest, error) {
	d, body, err := r.Manifests().FetchReference(ctx, reference)
	if err != nil {
		return nil, translate(err)
	}
	defer body.Close()
	if want, err := attest.ParseDigest(reference); err == nil && string(d.Digest) != string(want) {
		return nil, fmt.Errorf("the server answers %s where %s was asked for", d.Digest, want)
	}
	if d.Size > maxManifest {
		return nil, fmt.Errorf("manifest %s of %d bytes exceeds the limit of %d", d.Digest, d.Size, maxManifest)
	}
	raw, err := whole(body, d)
	if err != nil {
		return nil, err
	}
	m := &manifest{descriptor: d}
	if err := strictjson.UnmarshalForeign(raw, maxManifest, &m.Manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return m, nil
}

func (m *manifest) digest() attest.Digest { return attest.Digest(m.descriptor.Digest) }

// file returns the one file a statement about the manifest names second: the
// config of an environment, the sole layer of a base or patch; "" for images.
func (m *manifest) file() attest.Digest {
	ours := []string{attest.ArtifactBase, attest.ArtifactPatch}
	switch {
	case m.ArtifactType == attest.ArtifactEnv:
		return attest.Digest(m.Config.Digest)
	case slices.Contains(ours, m.ArtifactType) && len(m.Layers) == 1:
		return attest.Digest(m.Layers[0].Digest)
	}
	return ""
}

func (m *manifest) subjects() []attest.Subject {
	list := []attest.Subject{{Digest: m.digest()}}
	if f := m.file(); f != "" {
		list = append(list, attest.Subject{Digest: f})
	}
	return list
}

func short(d digest.Digest) string { return attest.Digest(d).Short() }

func shortType(typ string) string {
	i := strings.LastIndex(strings.TrimSuffix(typ, "/v1"), "/")
	return typ[i+1:]
}
