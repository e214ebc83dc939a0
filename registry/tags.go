package registry

import (
	"context"
	"io"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
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
	if named := t.registry.State.Named(t.name, tag); named != "" {
		return v1.Descriptor{Digest: digest.Digest(named)}, nil
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
	defer t.registry.tagging(tag)()
	d := attest.Digest(desc.Digest)
	if have, ok := t.registry.State.Tag(t.name, tag); ok && have == d && t.registry.State.Named(t.name, tag) == "" {
		return nil
	}
	if e := t.registry.settled(t.name, tag, d); e != nil {
		return x.refuse(e)
	}
	if _, ok := t.registry.State.Manifest(t.name, d); !ok {
		return x.refuse(api.Errorf(http.StatusNotFound, codeNoManifest, "manifest %s was deleted before it was tagged", d).Hint("push it again"))
	}
	return x.record(ctx, ledger.KindTag, ledger.TagMoved{Repository: t.name, Tag: tag, Digest: d, By: x.principal.ID})
}

// tagging keeps what a tag is to name there, and two manifests from one tag
// that is never moved, until what it returns is called.
func (g *Registry) tagging(tag string) (done func()) {
	if g.immutable(tag) {
		g.linking.Lock()
		return g.linking.Unlock
	}
	g.linking.RLock()
	return g.linking.RUnlock
}

func (g *Registry) immutable(tag string) bool { return g.Immutable != nil && g.Immutable(tag) }

// settled refuses to have a tag that is never moved name anything else. No
// role moves one.
func (g *Registry) settled(repository, tag string, d attest.Digest) *api.Error {
	have, ok := g.State.Tag(repository, tag)
	if !ok || have == d || !g.immutable(tag) {
		return nil
	}
	return api.Errorf(http.StatusForbidden, api.CodeDenied, "IMMUTABLE: tag %.128s names %s, and is never moved here", tag, have).
		Hint("push under another tag")
}

// lasting refuses to take a tag away that is never moved, but to an admin: then
// another manifest could have it.
func (x *exchange) lasting(tag string) *api.Error {
	admin := slices.Contains(x.registry.State.Roles(x.principal.ID, x.product), state.RoleAdmin)
	if admin || !x.registry.immutable(tag) {
		return nil
	}
	return api.Errorf(http.StatusForbidden, api.CodeDenied, "IMMUTABLE: tag %.128s stays: only an admin takes it away, or deletes what it names", tag).
		Hint("ask an admin of the product")
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
	if e := x.lasting(tag); e != nil {
		return x.refuse(e)
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
	for tag := range t.registry.State.TagsAfter(t.name, last) {
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
