package registry_test

import (
	"net/http"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
)

// TestShapeOfSources: the archive a build started from is attached to the base
// or the patch that it made, by whoever publishes. Hosts never see it.
func TestShapeOfSources(t *testing.T) {
	s, one, _, _ := scene(t)
	file := []byte("an archive")
	s.pushBlob(s.publisher, repo, file)
	rebuilder, _ := s.Principal("rebuilder", state.RoleRebuilder)
	source := func(about []byte) doc { return artifact(attest.ArtifactSource, octets, file, about) }
	for name, c := range map[string]struct {
		doc  doc
		want int
	}{
		"of a base":               {source(one.base), http.StatusCreated},
		"of a patch":              {source(one.patch), http.StatusCreated},
		"of an image":             {source(one.image), http.StatusForbidden},
		"of an environment":       {source(one.environment), http.StatusForbidden},
		"of the unknown":          {source([]byte("?")), http.StatusForbidden},
		"of nothing":              {source(nil), http.StatusForbidden},
		"without an archive":      {withLayers(source(one.patch)), http.StatusBadRequest},
		"of two archives":         {withLayers(source(one.patch), file, one.patchFile), http.StatusBadRequest},
		"with a config":           {withConfig(source(one.patch), file), http.StatusBadRequest},
		"with what is not pushed": {withLayers(source(one.patch), []byte("nowhere")), http.StatusBadRequest},
	} {
		raw := c.doc.bytes(t)
		if r := s.putManifest(s.publisher, repo, sum(raw), raw); r.status != c.want {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.body, c.want)
		}
		if r := s.putManifest(rebuilder, repo, sum(raw), raw); r.status == http.StatusCreated {
			t.Errorf("%s: a rebuilder put it", name)
		}
	}
	raw := source(one.patch).bytes(t)
	for _, path := range []string{manifestPath(sum(raw)), blobPath(attest.DigestOf(file))} {
		for _, host := range []string{s.host, s.otherHost} {
			s.must(http.StatusForbidden, request{who: host, method: http.MethodGet, path: path, header: accept})
		}
		for _, reader := range []string{s.auditor, rebuilder} {
			s.must(http.StatusOK, request{who: reader, method: http.MethodGet, path: path, header: accept})
		}
	}
}
