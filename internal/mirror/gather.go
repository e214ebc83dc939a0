package mirror

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

// grouped sorts wants by repository, each once.
func grouped(wants []Want) [][]Want {
	wants = slices.Clone(wants)
	slices.SortFunc(wants, func(a, b Want) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(a.Reference, b.Reference))
	})
	var groups [][]Want
	for _, w := range slices.Compact(wants) {
		if n := len(groups); n > 0 && groups[n-1][0].Repository == w.Repository {
			groups[n-1] = append(groups[n-1], w)
			continue
		}
		groups = append(groups, []Want{w})
	}
	return groups
}

func (p *pull) repository(ctx context.Context, group []Want) (*Repository, error) {
	name := group[0].Repository
	product := ""
	for _, known := range p.src.Policy.Products {
		if known.Repository == name {
			product = known.ID
		}
	}
	if product == "" {
		return nil, problem(Untrusted, "the trust policy has no product in repository %s", name).hint("patchfit trust show lists its products")
	}
	remote, err := openRepository(p.src.Server, name)
	if err != nil {
		return nil, err
	}
	w := &walk{
		in: p.in, repo: remote, whole: group[0].Reference == "", progress: p.options.Progress,
		found: map[attest.Digest]*manifest{}, stats: &p.result.Stats,
	}
	repo := &Repository{Repository: name, Product: product, Tags: []Tag{}, Void: []attest.Digest{}}
	if err := w.start(ctx, group, repo); err != nil {
		return nil, err
	}
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	repo.Manifests = w.manifests()
	repo.Tags = slices.DeleteFunc(repo.Tags, func(t Tag) bool { return w.found[t.Digest] == nil })
	if repo.Detached, err = w.detached(ctx); err != nil {
		return nil, err
	}
	// Channels name revocations that there were: what is revoked in the meantime is
	// in the later of the two answers.
	if repo.Channels, err = w.channels(ctx, product); err != nil {
		return nil, err
	}
	repo.Revocations, err = w.revocations(ctx, product)
	return repo, err
}

// start queues where the walk begins and notes tags and selection.
func (w *walk) start(ctx context.Context, group []Want, repo *Repository) error {
	tags, digests := []string{}, []attest.Digest{}
	if w.whole {
		all, err := w.repo.tags(ctx)
		if err != nil {
			return err
		}
		tags = all
	}
	for _, want := range group {
		if w.whole {
			break
		}
		repo.Selection = append(repo.Selection, want.Reference)
		if d, err := attest.ParseDigest(want.Reference); err == nil {
			digests = append(digests, d)
			continue
		}
		tags = append(tags, want.Reference)
	}
	slices.Sort(tags)
	for _, tag := range slices.Compact(tags) {
		d, err := w.tag(ctx, tag)
		if err != nil {
			return fmt.Errorf("tag %s: %w", tag, err)
		}
		repo.Tags = append(repo.Tags, Tag{tag, d})
	}
	w.queue = append(w.queue, digests...)
	if len(w.queue) == 0 {
		return problem(Missing, "repository %s has no tag to begin at", w.repo.name).hint("name what to copy by digest: %s@sha256:…", w.repo.name)
	}
	return nil
}
