package registry

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
)

// namespace is what distribution takes for its storage.
type namespace struct {
	closedNamespace
	registry *Registry
}

// Repository opens the repository that the exchange is about, and no other.
func (n *namespace) Repository(ctx context.Context, name reference.Named) (distribution.Repository, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if x.repository == "" || name.Name() != x.repository {
		return nil, x.refuse(forbidden("this was not asked for"))
	}
	return &repository{registry: n.registry, named: name, name: x.repository}, nil
}

// Repositories fills repos with the names after last of the repositories that
// products live in.
func (n *namespace) Repositories(ctx context.Context, repos []string, last string) (int, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return 0, err
	}
	if err := x.must(catalog, ""); err != nil {
		return 0, err
	}
	all := after(n.registry.State.Repositories(), last)
	filled := copy(repos, all)
	if filled == len(all) {
		return filled, io.EOF
	}
	return filled, nil
}

// after returns the sorted names that come after last.
func after(sorted []string, last string) []string {
	i, found := slices.BinarySearchFunc(sorted, last, strings.Compare)
	if found {
		i++
	}
	return sorted[i:]
}

// repository is one product's.
type repository struct {
	//lint:ignore U1000 refuses what a later distribution adds; all it has today is written by hand below
	closedRepository
	registry *Registry
	named    reference.Named
	name     string
}

func (r *repository) Named() reference.Named { return r.named }

// Manifests opens the manifests. Where the request names one to read by its
// digest, that is decided here: distribution answers that a manifest was not
// modified before it asks for it.
func (r *repository) Manifests(ctx context.Context, _ ...distribution.ManifestServiceOption) (distribution.ManifestService, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if named, ok := x.named(); ok && x.action == read {
		d, err := x.resolve(named)
		if err != nil {
			return nil, err
		}
		if err := x.mayRead(ctx, d); err != nil {
			return nil, err
		}
	}
	return &manifests{handle: r.handle()}, nil
}

func (r *repository) Tags(context.Context) distribution.TagService { return &tags{handle: r.handle()} }

func (r *repository) Blobs(context.Context) distribution.BlobStore { return &blobs{handle: r.handle()} }

// A handle is a repository during one request.
type handle struct {
	registry *Registry
	name     string
}

func (r *repository) handle() handle { return handle{r.registry, r.name} }
