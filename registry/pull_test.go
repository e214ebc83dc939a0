package registry_test

import (
	"net/http"
	"testing"
)

// TestPublishAndPull goes the whole way through the front door.
func TestPublishAndPull(t *testing.T) {
	s := newServer(t)
	w := s.publish("one")
	s.runs(s.host, s.hostKey, w)
	got := s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: manifestPath(string(w.PatchManifest)), header: accept})
	if string(got.body) != string(w.patch) || got.header.Get("Content-Type") != mediaManifest || got.header.Get("Docker-Content-Digest") != string(w.PatchManifest) {
		t.Errorf("the manifest is %s, %v", got.body, got.header)
	}
	blob := s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: blobPath(w.Patch.File.Digest)})
	if string(blob.body) != string(w.patchFile) {
		t.Errorf("the patch is %q", blob.body)
	}
	for _, r := range []reply{got, blob} {
		if r.header.Get("Cache-Control") != "private, no-store" || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers %v", r.header)
		}
	}
	s.runs(s.otherHost, s.otherKey, s.publish("two"))
	denied := s.must(http.StatusForbidden, request{who: s.otherHost, method: http.MethodGet, path: manifestPath(string(w.PatchManifest)), header: accept})
	t.Log(denied.message())
}
