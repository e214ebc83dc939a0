package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/inventory"
	"github.com/patchfit/patchfit/registry/api"
)

// Limits of what is believed of a server's lists: one that never ends is no
// list.
const (
	pageSize  = 500
	maxPages  = 2000
	maxAnswer = 64 << 10 // bytes of an answer that only says how it went
)

// A Shelf is a repository as someone looks at it who publishes nothing.
type Shelf struct {
	server *api.Client
	repo   *repository
	name   string
}

// Browse returns the repository name of a server. Nothing is asked yet.
func Browse(server *api.Client, name string) (*Shelf, error) {
	r, err := open(server, name)
	if err != nil {
		return nil, err
	}
	r.TagListPageSize, r.TagListMaxPages, r.ReferrerListMaxPages = pageSize, maxPages, maxPages
	return &Shelf{server, r, name}, nil
}

// Repositories returns the names of a server's repositories, which it tells
// admins of the whole server.
func Repositories(ctx context.Context, server *api.Client) ([]string, error) {
	u, err := url.Parse(server.Server())
	if err != nil {
		return nil, err
	}
	r, err := remote.NewRegistry(u.Host)
	if err != nil {
		return nil, err
	}
	r.Client, r.PlainHTTP, r.RepositoryListPageSize = server.HTTP(), u.Scheme == "http", pageSize
	names, pages := []string{}, 0
	err = r.Repositories(ctx, "", func(page []string) error {
		names = append(names, page...)
		if pages++; pages > maxPages {
			return errors.New("the server's list of repositories does not end")
		}
		return nil
	})
	if err != nil {
		return nil, translate(err)
	}
	return names, nil
}

// Tags returns the tags of the repository, page by page as the server has them.
func (s *Shelf) Tags(ctx context.Context) ([]string, error) {
	tags := []string{}
	err := s.repo.Tags(ctx, "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	return tags, translate(err)
}

// Resolve returns the digest of what a tag names.
func (s *Shelf) Resolve(ctx context.Context, tag string) (attest.Digest, error) {
	d, err := s.repo.Manifests().Resolve(ctx, tag)
	if err != nil {
		return "", translate(err)
	}
	return attest.ParseDigest(string(d.Digest))
}

// An Item is one manifest of a repository.
type Item struct {
	Found
	Kind    string        // what people call it: "live-patch", "base", "environment", "builder-image", "attestation", "builder-inputs", "inventory", "artifact"
	Size    int64         // of the manifest and what it consists of, in bytes
	Subject attest.Digest // what it is attached to; "" where it is not

	layers []ocispec.Descriptor
}

// Item returns what a tag or digest names. The digest is of the bytes that
// were read.
func (s *Shelf) Item(ctx context.Context, reference string) (*Item, error) {
	m, err := s.repo.manifest(ctx, reference)
	if err != nil {
		return nil, err
	}
	i := &Item{Found: *found(m), Size: m.descriptor.Size + m.Config.Size, layers: m.Layers}
	i.Kind = kindOf(m.ArtifactType, m.Config.MediaType)
	for _, l := range m.Layers {
		i.Size += l.Size
	}
	if m.Subject != nil {
		i.Subject = attest.Digest(m.Subject.Digest)
	}
	return i, nil
}

// kindOf names kinds in the words of the audit API (docs/spec/index.md), and what is
// attached to builder images (docs/spec/builder.md).
func kindOf(artifactType, config string) string {
	images := []string{ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json"}
	switch {
	case artifactType == attest.ArtifactPatch:
		return "live-patch"
	case artifactType == attest.ArtifactBase:
		return "base"
	case artifactType == attest.ArtifactEnv:
		return "environment"
	case artifactType == attest.ArtifactBundle:
		return "attestation"
	case artifactType == attest.ArtifactInputs:
		return "builder-inputs"
	case artifactType == inventory.MediaSPDX:
		return "inventory"
	case artifactType == "" && slices.Contains(images, config), slices.Contains(images, artifactType):
		return "builder-image"
	}
	return "artifact"
}

// A Referrer is a manifest attached to another, as lists have it.
type Referrer struct {
	Manifest  attest.Digest
	Kind      string
	Predicate string // what an attestation says of itself; "" where it does not
}

// Referrers returns what is attached to a manifest.
func (s *Shelf) Referrers(ctx context.Context, subject attest.Digest) ([]Referrer, error) {
	all := []Referrer{}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(subject)}
	err := s.repo.Referrers(ctx, d, "", func(page []ocispec.Descriptor) error {
		for _, d := range page {
			all = append(all, Referrer{attest.Digest(d.Digest), kindOf(d.ArtifactType, ""), d.Annotations[annotationPredicate]})
		}
		return nil
	})
	return all, translate(err)
}

// Bundle returns the bundle an attestation carries.
func (s *Shelf) Bundle(ctx context.Context, attestation attest.Digest) ([]byte, error) {
	i, err := s.Item(ctx, string(attestation))
	if err != nil {
		return nil, err
	}
	if i.Kind != "attestation" || len(i.layers) != 1 {
		return nil, fmt.Errorf("manifest %s carries no bundle", attestation)
	}
	return s.repo.blob(ctx, i.layers[0], attest.MaxBundle)
}

// Remove takes a tag away, or hides a manifest with the tags that name it.
func (s *Shelf) Remove(ctx context.Context, reference string) error {
	if _, err := s.repo.ParseReference(reference); err != nil {
		return err
	}
	at := s.server.Server() + "/v2/" + s.name + "/manifests/" + reference
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, at, nil)
	if err != nil {
		return err
	}
	resp, err := s.server.HTTP().Do(req)
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return split(api.ReadError(resp, body))
	}
	return nil
}
