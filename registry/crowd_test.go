package registry_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
)

// TestAttackCrowdedPatch: whoever publishes a patch cannot use up its places, so
// that no rebuilder attaches anything to it any more.
func TestAttackCrowdedPatch(t *testing.T) {
	s, one, _, _ := scene(t)
	rebuilder, _ := s.Principal("rebuilder", state.RoleRebuilder)
	note := []byte("note")
	s.pushBlob(s.publisher, repo, note)
	about := func(i int) []byte {
		d := artifact("application/vnd.example", octets, note, one.patch)
		d["annotations"] = doc{"n": strconv.Itoa(i)}
		return d.bytes(t)
	}
	i := 0
	for ; i < 780; i++ {
		s.PutManifest(about(i))
	}
	last, r := []byte(nil), reply{}
	for ; i < 1000; i++ {
		raw := about(i)
		if r = s.putManifest(s.publisher, repo, sum(raw), raw); r.status != http.StatusCreated {
			break
		}
		last = raw
	}
	if r.status != http.StatusForbidden || !strings.Contains(string(r.body), "are for rebuilders") {
		t.Errorf("a publisher attached %d manifests to a patch, then: %d %s", i, r.status, r.body)
	}
	if r := s.putManifest(s.publisher, repo, sum(last), last); r.status != http.StatusCreated {
		t.Errorf("one that is there: %d %s", r.status, r.body)
	}
	log := []byte("log of a build")
	s.pushBlob(rebuilder, repo, log)
	raw := artifact(attest.ArtifactRebuild, octets, log, one.patch).bytes(t)
	if r := s.putManifest(rebuilder, repo, sum(raw), raw); r.status != http.StatusCreated {
		t.Errorf("a rebuilder: %d %s", r.status, r.body)
	}
}
