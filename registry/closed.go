package registry

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// errClosed is what every method answers that nobody forwarded.
var errClosed = errors.New("this is not forwarded to the registry")

// The closed types implement distribution's interfaces and refuse everything.
// A wrapper embeds the closed type, never what it wraps, and forwards by hand:
// a method that distribution adds does not compile until it is refused here.
type (
	closedNamespace  struct{}
	closedRepository struct{}
	closedManifests  struct{}
	closedTags       struct{}
	closedBlobs      struct{}
)

var (
	_ distribution.Namespace         = closedNamespace{}
	_ distribution.RepositoryRemover = closedNamespace{}
	_ distribution.Repository        = closedRepository{}
	_ distribution.ManifestService   = closedManifests{}
	_ distribution.TagService        = closedTags{}
	_ distribution.BlobStore         = closedBlobs{}
)

// A nothing is a scope, and an enumerator, of nothing.
type nothing struct{}

func (nothing) Contains(string) bool { return false }

func (nothing) Enumerate(context.Context, func(digest.Digest) error) error { return errClosed }

func (nothing) Stat(context.Context, digest.Digest) (v1.Descriptor, error) {
	return v1.Descriptor{}, errClosed
}

func (closedNamespace) Scope() distribution.Scope { return nothing{} }

func (closedNamespace) Repository(context.Context, reference.Named) (distribution.Repository, error) {
	return nil, errClosed
}

func (closedNamespace) Repositories(context.Context, []string, string) (int, error) {
	return 0, errClosed
}

func (closedNamespace) Blobs() distribution.BlobEnumerator { return nothing{} }

func (closedNamespace) BlobStatter() distribution.BlobStatter { return nothing{} }

func (closedNamespace) Remove(context.Context, reference.Named) error { return errClosed }

func (closedRepository) Named() reference.Named { return nil }

func (closedRepository) Manifests(context.Context, ...distribution.ManifestServiceOption) (distribution.ManifestService, error) {
	return nil, errClosed
}

func (closedRepository) Blobs(context.Context) distribution.BlobStore { return closedBlobs{} }

func (closedRepository) Tags(context.Context) distribution.TagService { return closedTags{} }

func (closedManifests) Exists(context.Context, digest.Digest) (bool, error) { return false, errClosed }

func (closedManifests) Get(context.Context, digest.Digest, ...distribution.ManifestServiceOption) (distribution.Manifest, error) {
	return nil, errClosed
}

func (closedManifests) Put(context.Context, distribution.Manifest, ...distribution.ManifestServiceOption) (digest.Digest, error) {
	return "", errClosed
}

func (closedManifests) Delete(context.Context, digest.Digest) error { return errClosed }

func (closedTags) Get(context.Context, string) (v1.Descriptor, error) {
	return v1.Descriptor{}, errClosed
}

func (closedTags) Tag(context.Context, string, v1.Descriptor) error { return errClosed }

func (closedTags) Untag(context.Context, string) error { return errClosed }

func (closedTags) All(context.Context) ([]string, error) { return nil, errClosed }

func (closedTags) Lookup(context.Context, v1.Descriptor) ([]string, error) { return nil, errClosed }

func (closedTags) List(context.Context, int, string) ([]string, error) { return nil, errClosed }

func (closedBlobs) Stat(context.Context, digest.Digest) (v1.Descriptor, error) {
	return v1.Descriptor{}, errClosed
}

func (closedBlobs) Get(context.Context, digest.Digest) ([]byte, error) { return nil, errClosed }

func (closedBlobs) Open(context.Context, digest.Digest) (io.ReadSeekCloser, error) {
	return nil, errClosed
}

func (closedBlobs) Put(context.Context, string, []byte) (v1.Descriptor, error) {
	return v1.Descriptor{}, errClosed
}

func (closedBlobs) Create(context.Context, ...distribution.BlobCreateOption) (distribution.BlobWriter, error) {
	return nil, errClosed
}

func (closedBlobs) Resume(context.Context, string) (distribution.BlobWriter, error) {
	return nil, errClosed
}

func (closedBlobs) ServeBlob(context.Context, http.ResponseWriter, *http.Request, digest.Digest) error {
	return errClosed
}

func (closedBlobs) Delete(context.Context, digest.Digest) error { return errClosed }
