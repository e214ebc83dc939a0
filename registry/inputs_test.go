package registry_test

import (
	"net/http"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
)

// TestShapeOfInputs: what a builder image was made of is attached to an image, by
// whoever publishes, with the lock as its config. Hosts never see it.
func TestShapeOfInputs(t *testing.T) {
	s, one, _, _ := scene(t)
	lock, file := []byte(`{"schemaVersion":1}`), []byte("make_4.3-4.1_amd64.deb")
	s.pushBlob(s.publisher, repo, lock)
	s.pushBlob(s.publisher, repo, file)
	rebuilder, _ := s.Principal("rebuilder", state.RoleRebuilder)
	inputs := func(about []byte) doc {
		d := artifact(attest.ArtifactInputs, "application/vnd.debian.binary-package", file, about)
		d["config"] = descriptor(attest.MediaLock, lock)
		return d
	}
	large := inputs(one.image)
	large["config"] = doc{"mediaType": attest.MediaLock, "digest": attest.DigestOf(lock), "size": 8<<20 + 1}
	hollow := inputs(one.image)
	hollow["layers"] = []doc{{"mediaType": octets, "digest": attest.DigestOf(nil), "size": 0}}
	s.pushBlob(s.publisher, repo, nil)
	for name, c := range map[string]struct {
		doc  doc
		want int
	}{
		"of an image":             {inputs(one.image), http.StatusCreated},
		"of several files":        {withLayers(inputs(one.image), file, one.patchFile), http.StatusCreated},
		"of a patch":              {inputs(one.patch), http.StatusForbidden},
		"of an environment":       {inputs(one.environment), http.StatusForbidden},
		"of inputs":               {inputs(inputs(one.image).bytes(t)), http.StatusForbidden},
		"of the unknown":          {inputs([]byte("?")), http.StatusForbidden},
		"of nothing":              {inputs(nil), http.StatusForbidden},
		"without files":           {withLayers(inputs(one.image)), http.StatusBadRequest},
		"with an empty file":      {hollow, http.StatusBadRequest},
		"without a lock":          {artifact(attest.ArtifactInputs, octets, file, one.image), http.StatusBadRequest},
		"with another config":     {withConfig(inputs(one.image), lock), http.StatusBadRequest},
		"with a lock too large":   {large, http.StatusBadRequest},
		"with what is not pushed": {withLayers(inputs(one.image), []byte("nowhere")), http.StatusBadRequest},
	} {
		raw := c.doc.bytes(t)
		if r := s.putManifest(s.publisher, repo, sum(raw), raw); r.status != c.want {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.body, c.want)
		}
		if r := s.putManifest(rebuilder, repo, sum(raw), raw); r.status == http.StatusCreated {
			t.Errorf("%s: a rebuilder put it", name)
		}
	}
	raw := inputs(one.image).bytes(t)
	for _, path := range []string{manifestPath(sum(raw)), blobPath(attest.DigestOf(file)), blobPath(attest.DigestOf(lock))} {
		for _, host := range []string{s.host, s.otherHost} {
			s.must(http.StatusForbidden, request{who: host, method: http.MethodGet, path: path, header: accept})
		}
		s.must(http.StatusOK, request{who: s.auditor, method: http.MethodGet, path: path, header: accept})
	}
}
