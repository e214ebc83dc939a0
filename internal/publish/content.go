package publish

import (
	"context"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/registry/api"
)

// Content is what a repository holds, by descriptor. What it gives is not
// verified yet.
type Content struct{ repo *repository }

// OpenContent returns the content of a repository.
func OpenContent(server *api.Client, name string) (*Content, error) {
	r, err := open(server, name)
	if err != nil {
		return nil, err
	}
	return &Content{r}, nil
}

// Describe returns the descriptor of what a tag or digest leads to.
func (c *Content) Describe(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	m, err := c.repo.manifest(ctx, reference)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return m.descriptor, nil
}

// Fetch opens a manifest or a blob.
func (c *Content) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	body, err := c.repo.Repository.Fetch(ctx, d)
	if err != nil {
		return nil, translate(err)
	}
	return body, nil
}
