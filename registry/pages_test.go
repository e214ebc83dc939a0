package registry_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// TestListsInMemoryAreNotOld: a list of referrers that was asked for before is
// the one there is now, after each that comes and each that goes.
func TestListsInMemoryAreNotOld(t *testing.T) {
	s := newServer(t)
	w := s.world("one")
	s.pushArtifacts(w)
	listed := func() int {
		t.Helper()
		var list struct{ Manifests []any }
		r := s.get(s.publisher, "/v2/"+repo+"/referrers/"+string(attest.DigestOf(w.image)))
		if err := json.Unmarshal(r.body, &list); err != nil || r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return len(list.Manifests)
	}
	if n := listed(); n != 1 {
		t.Fatalf("%d referrers of the image, want its environment", n)
	}
	bundles, about := s.bundles(w)
	d := s.attachBundle(bundles[0], about[0])
	if n := listed(); n != 2 {
		t.Errorf("%d referrers after one came, want 2", n)
	}
	s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath(string(d))})
	if n := listed(); n != 1 {
		t.Errorf("%d referrers after it went, want 1", n)
	}
}
