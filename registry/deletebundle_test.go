package registry_test

import (
	"net/http"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// TestDeleteOfABundle: deleting the manifest that carries a statement hides the
// manifest and takes nothing back.
func TestDeleteOfABundle(t *testing.T) {
	s, one, _, _ := scene(t)
	for _, about := range []attest.Digest{one.PatchManifest, one.BaseManifest} {
		before := len(s.State.Evidence(repo, about))
		for _, e := range s.State.Evidence(repo, about) {
			if e.Referrer == "" {
				t.Fatal("the test expects carried bundles")
			}
			s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath(string(e.Referrer))})
			s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: manifestPath(string(e.Referrer))})
			if _, err := s.Blobs.Get(e.Bundle); err != nil {
				t.Error(err)
			}
		}
		if n := len(s.State.Evidence(repo, about)); n != before || n == 0 {
			t.Errorf("%d statements about %s, %d before", n, about, before)
		}
	}
	s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: manifestPath(string(one.PatchManifest)), header: accept})
}
