package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// TestImmutableTags: a tag that is never moved is not, whoever asks and however
// they do, and nothing of what is refused is kept. An admin may take it away.
func TestImmutableTags(t *testing.T) {
	s := newServer(t)
	s.oci.Immutable = func(tag string) bool { return strings.HasPrefix(tag, "release-") }
	s.pushBlob(s.publisher, repo, empty)
	manifest := func(name string) []byte {
		m := artifact("application/vnd.example", octets, empty, nil)
		m["annotations"] = doc{"name": name}
		return m.bytes(t)
	}
	one, two := manifest("one"), manifest("two")
	put := func(who, tag string, raw []byte, want int) {
		t.Helper()
		r := s.putManifest(who, repo, tag, raw)
		if r.status != want {
			t.Errorf("putting %s: %d %s, want %d", tag, r.status, r.body, want)
		}
		if want == http.StatusForbidden && (r.code() != "DENIED" || !strings.HasPrefix(r.message(), "IMMUTABLE: tag "+tag+" names "+sum(one)) || !strings.Contains(r.message(), "; push under another tag")) {
			t.Errorf("the refusal: %s", r.body)
		}
	}
	put(s.publisher, "release-1", one, http.StatusCreated)
	put(s.publisher, "release-1", one, http.StatusCreated)
	put(s.publisher, "release-1", two, http.StatusForbidden)
	put(s.Admin, "release-1", two, http.StatusForbidden)
	if _, err := s.Blobs.Get(attest.DigestOf(two)); err == nil {
		t.Error("the manifest that was refused is kept")
	}
	put(s.publisher, "latest", one, http.StatusCreated)
	put(s.publisher, "latest", two, http.StatusCreated)
	for _, ref := range []string{"release-1", sum(one)} {
		r := s.must(http.StatusForbidden, request{who: s.publisher, method: http.MethodDelete, path: manifestPath(ref)})
		if !strings.HasPrefix(r.message(), "IMMUTABLE: tag release-1 stays") {
			t.Errorf("deleting %s: %s", ref, r.body)
		}
	}
	s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath("latest")})
	s.must(http.StatusAccepted, request{who: s.Admin, method: http.MethodDelete, path: manifestPath("release-1")})
	put(s.publisher, "release-1", two, http.StatusCreated)
	s.must(http.StatusAccepted, request{who: s.Admin, method: http.MethodDelete, path: manifestPath(sum(two))})
}

// TestImmutableTagRace: of many who want a tag that is never moved, one gets it.
func TestImmutableTagRace(t *testing.T) {
	s := newServer(t)
	s.oci.Immutable = func(string) bool { return true }
	s.pushBlob(s.publisher, repo, empty)
	s.journal.pause = 5 * time.Millisecond
	var all sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		all.Go(func() {
			m := artifact("application/vnd.example", octets, empty, nil)
			m["annotations"] = doc{"n": fmt.Sprint(i)}
			statuses[i] = s.putManifest(s.publisher, repo, "one", m.bytes(t)).status
		})
	}
	all.Wait()
	won := 0
	for _, status := range statuses {
		switch status {
		case http.StatusCreated:
			won++
		case http.StatusForbidden:
		default:
			t.Errorf("status %d", status)
		}
	}
	if n := s.count(ledger.KindTag); won != 1 || n != 1 {
		t.Errorf("%d got the tag, and %d records say so", won, n)
	}
}
