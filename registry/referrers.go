package registry

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/registry/state"
)

// referrers answers with every manifest whose subject is a digest and that who
// asks may see, on one page, bundles first: some clients read one page, and
// want these. The subject may be unknown (OCI distribution spec v1.1, Listing
// Referrers).
func (g *Registry) referrers(x *exchange, r *http.Request) {
	k := pageKey{x.repository, x.reference, r.URL.Query().Get("artifactType")}
	body, err := x.page(k)
	if err != nil {
		_ = x.refuseFor(err)
		x.answer.finish()
		return
	}
	h := x.answer.Header()
	if k.artifactType != "" {
		h.Set("OCI-Filters-Applied", "artifactType")
	}
	h.Set("Content-Type", v1.MediaTypeImageIndex)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.answer.WriteHeader(http.StatusOK)
	_, _ = x.answer.Write(body) // the client is gone: there is nobody to tell
}

// page returns a list as it goes out. What a host may see is asked each time.
func (x *exchange) page(k pageKey) ([]byte, error) {
	changed := x.registry.State.Changed(x.repository)
	if !x.gated {
		if b, ok := x.registry.pages.get(k, changed); ok {
			return b, nil
		}
	}
	list := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{},
	}
	for _, m := range bundlesFirst(x.registry.State.Referrers(x.repository, k.subject)) {
		if (k.artifactType == "" || m.Type == k.artifactType) && x.visible(m) {
			list.Manifests = append(list.Manifests, describe(m))
		}
	}
	b, err := json.Marshal(list)
	if err == nil && !x.gated {
		x.registry.pages.add(k, changed, b)
	}
	return b, err
}

// bundlesFirst keeps the order otherwise.
func bundlesFirst(all []*state.Manifest) []*state.Manifest {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *state.Manifest) int { return rank(a) - rank(b) })
	return all
}

func rank(m *state.Manifest) int {
	if isAdmitted(m) {
		return 0
	}
	return 1
}

func describe(m *state.Manifest) v1.Descriptor {
	return v1.Descriptor{
		MediaType: m.MediaType, Digest: digest.Digest(m.Artifact.Manifest), Size: m.Size,
		ArtifactType: m.Type, Annotations: m.Annotations,
	}
}
