package registry

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	v2 "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/distribution/reference"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
)

// mostTags is how many tags one manifest may be put under at once; the
// specification asks for ten.
const mostTags = 64

// tagName is the whole of a tag, as distribution has it.
var tagName = regexp.MustCompile("^" + reference.TagRegexp.String() + "$")

// mayRepeat reports whether a parameter may be there more than once: tags, of a
// manifest that is put.
func mayRepeat(r *http.Request, name string) bool { return name == "tag" && r.Method == http.MethodPut }

// tagsOf returns the tags a manifest is to have that is put by its digest
// (distribution-spec, "Pushing Manifests": ?tag=a&tag=b).
func (x *exchange) tagsOf(q url.Values) ([]string, *api.Error) {
	asked := q["tag"]
	if x.action != push || len(asked) == 0 {
		return nil, nil
	}
	if _, byDigest := x.named(); x.route != v2.RouteNameManifest || !byDigest {
		return nil, invalid(api.CodeInvalid, "parameter tag is for a manifest that is put by its digest").Hint("put it by its digest, or without the parameter")
	}
	if len(asked) > mostTags {
		return nil, api.Errorf(http.StatusRequestURITooLong, api.CodeInvalid, "%d tags at once are more than %d", len(asked), mostTags).Hint("put the others with another request")
	}
	for i, tag := range asked {
		switch {
		case !tagName.MatchString(tag):
			return nil, invalid(codeTag, "%.150q is no tag", tag)
		case slices.Contains(asked[:i], tag):
			return nil, invalid(api.CodeInvalid, "tag %s is given more than once", tag)
		}
	}
	return asked, nil
}

// settledAll refuses to have any of the tags that are never moved name another
// manifest than d.
func (x *exchange) settledAll(d attest.Digest) *api.Error {
	for _, tag := range x.tags {
		if e := x.registry.settled(x.repository, tag, d); e != nil {
			return e
		}
	}
	return nil
}

// tag makes the tags of the exchange name the manifest that was just put: all
// of them or, where one may not, none. A journal that goes down in between
// leaves some, each whole; the client is told 503, and putting it again does the
// rest.
func (x *exchange) tag(ctx context.Context, d attest.Digest) error {
	if len(x.tags) == 0 {
		return nil
	}
	defer x.registry.taggingAll(x.tags)()
	if e := x.settledAll(d); e != nil {
		return x.refuse(e)
	}
	if _, ok := x.registry.State.Manifest(x.repository, d); !ok {
		return x.refuse(api.Errorf(http.StatusNotFound, codeNoManifest, "manifest %s was deleted before it was tagged", d).Hint("push it again"))
	}
	for _, tag := range x.tags {
		if have, ok := x.registry.State.Tag(x.repository, tag); ok && have == d && x.registry.State.Named(x.repository, tag) == x.sha512 {
			continue
		}
		if err := x.record(ctx, ledger.KindTag, ledger.TagMoved{Repository: x.repository, Tag: tag, Digest: d, SHA512: x.sha512, By: x.principal.ID}); err != nil {
			return err
		}
	}
	for _, tag := range x.tags {
		x.answer.Header().Add("OCI-Tag", tag)
	}
	return nil
}

// taggingAll is tagging for several tags.
func (g *Registry) taggingAll(tags []string) (done func()) {
	if i := slices.IndexFunc(tags, g.immutable); i >= 0 {
		return g.tagging(tags[i])
	}
	return g.tagging(tags[0])
}
