package registry

import (
	"context"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
)

// tags are those the journal knows; distribution's own tag files are neither
// read nor written.
type tags struct {
	closedTags
	handle
}

// Get returns what a tag names, if who asks may have that.
func (t *tags) Get(ctx context.Context, tag string) (v1.Descriptor, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d, ok := t.registry.State.Tag(t.name, tag)
	if !ok {
		return v1.Descriptor{}, x.refuse(t.unknown(tag))
	}
	if err := x.mayRead(ctx, d); err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{Digest: digest.Digest(d)}, nil
}

func (t *tags) unknown(tag string) *api.Error {
	return api.Errorf(http.StatusNotFound, codeNoManifest, "tag %.128s is not in %s", tag, t.name)
}

// Tag makes a tag name the manifest that was just put.
func (t *tags) Tag(ctx context.Context, tag string, desc v1.Descriptor) error {
	x, err := exchangeOf(ctx)
	if err != nil {
		return err
	}
	if err := x.must(push, t.name); err != nil {
		return err
	}
	if x.sha512 != "" {
		return nil // the placeholder
	}
	d := attest.Digest(desc.Digest)
	if have, ok := t.registry.State.Tag(t.name, tag); ok && have == d {
		return nil
	}
	return x.record(ctx, ledger.KindTag, ledger.TagMoved{Repository: t.name, Tag: tag, Digest: d, By: x.principal.ID})
}

// Untag takes a tag away.
func (t *tags) Untag(ctx context.Context, tag string) error {
	x, err := exchangeOf(ctx)
	if err != nil {
		return err
	}
	if err := x.must(remove, t.name); err != nil {
		return err
	}
	if _, ok := t.registry.State.Tag(t.name, tag); !ok {
		return x.refuse(t.unknown(tag))
	}
	return x.record(ctx, ledger.KindDelete, ledger.Deleted{Repository: t.name, Tag: tag, By: x.principal.ID})
}

// Lookup returns the tags distribution should take away after it deleted a
// manifest: none, because its record did.
func (t *tags) Lookup(context.Context, v1.Descriptor) ([]string, error) { return nil, nil }

// List returns up to limit of the tags after last that who asks may see; all
// for a negative limit. io.EOF says that there are no more.
func (t *tags) List(ctx context.Context, limit int, last string) ([]string, error) {
	x, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := x.must(read, t.name); err != nil {
		return nil, err
	}
	var seen []string
	for _, tag := range after(t.registry.State.Tags(t.name), last) {
		if !t.visible(x, tag) {
			continue
		}
		if len(seen) == limit {
			return seen, nil
		}
		seen = append(seen, tag)
	}
	return seen, io.EOF
}

func (t *tags) visible(x *exchange, tag string) bool {
	d, ok := t.registry.State.Tag(t.name, tag)
	if !ok {
		return false
	}
	m, ok := t.registry.State.Manifest(t.name, d)
	return ok && x.visible(m)
}
