package registry_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
)

// tagged is a manifest of a name with nothing in it.
func tagged(t *testing.T, name string) []byte {
	m := artifact("application/vnd.example", octets, empty, nil)
	m["annotations"] = doc{"name": name}
	return m.bytes(t)
}

// TestTagsWithAManifest: a manifest that is put by its digest has the tags that
// come with it, by either digest, and the answer names them.
func TestTagsWithAManifest(t *testing.T) {
	s := newServer(t)
	s.pushBlob(s.publisher, repo, empty)
	one, two := tagged(t, "one"), tagged(t, "two")
	r := s.putManifest(s.publisher, repo, sum(one)+"?tag=a&tag=b.1", one)
	if r.status != http.StatusCreated || !slices.Equal(r.header.Values("OCI-Tag"), []string{"a", "b.1"}) || r.header.Get("Docker-Content-Digest") != sum(one) {
		t.Fatalf("%d %v %s", r.status, r.header, r.body)
	}
	r = s.putManifest(s.publisher, repo, name512(two)+"?tag=b.1&tag=c", two)
	if r.status != http.StatusCreated || !slices.Equal(r.header.Values("OCI-Tag"), []string{"b.1", "c"}) || r.header.Get("Docker-Content-Digest") != name512(two) {
		t.Fatalf("%d %v %s", r.status, r.header, r.body)
	}
	for tag, want := range map[string][]byte{"a": one, "b.1": two, "c": two} {
		if d, _ := s.State.Tag(repo, tag); d != attest.DigestOf(want) {
			t.Errorf("%s names %s", tag, d)
		}
	}
	if _, ok := s.State.Tag(repo, "sha512"); ok {
		t.Error("the placeholder is a tag")
	}
	for tag, want := range map[string]string{"a": sum(one), "b.1": name512(two), "c": name512(two), sum(two): sum(two)} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := s.must(http.StatusOK, request{who: s.publisher, method: method, path: manifestPath(tag), header: accept})
			if got := r.header.Get("Docker-Content-Digest"); got != want || r.header.Get("Etag") != `"`+want+`"` {
				t.Errorf("%s %s answers with %s and %s, want %s", method, tag, got, r.header.Get("Etag"), want)
			}
		}
	}
	before := len(s.Journal.Records())
	if r := s.putManifest(s.publisher, repo, name512(two)+"?tag=c", two); r.status != http.StatusCreated || len(s.Journal.Records()) != before {
		t.Errorf("what is so already: %d, %d new records", r.status, len(s.Journal.Records())-before)
	}
}

// TestTagAnswersAsItWasPut: a tag that is put by itself, or with the manifest's
// sha256, answers with that again, and one that is taken away remembers nothing.
func TestTagAnswersAsItWasPut(t *testing.T) {
	s := newServer(t)
	s.pushBlob(s.publisher, repo, empty)
	one := tagged(t, "one")
	answers := func(want string) {
		t.Helper()
		if got := s.get(s.publisher, manifestPath("a")).header.Get("Docker-Content-Digest"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	by512 := func() {
		t.Helper()
		if r := s.putManifest(s.publisher, repo, name512(one)+"?tag=a", one); r.status != http.StatusCreated {
			t.Fatalf("%d %s", r.status, r.body)
		}
		answers(name512(one))
	}
	for _, reference := range []string{"a", sum(one) + "?tag=a"} {
		by512()
		if r := s.putManifest(s.publisher, repo, reference, one); r.status != http.StatusCreated {
			t.Fatalf("%d %s", r.status, r.body)
		}
		answers(sum(one))
	}
	by512()
	s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath("a")})
	if named := s.State.Named(repo, "a"); named != "" {
		t.Errorf("a tag that is gone answers with %s", named)
	}
}

// TestTagsAllOrNone: where one tag may not be had, none is moved, and a
// manifest that is refused for it is not kept.
func TestTagsAllOrNone(t *testing.T) {
	s := newServer(t)
	s.oci.Immutable = func(tag string) bool { return strings.HasPrefix(tag, "release-") }
	s.pushBlob(s.publisher, repo, empty)
	one, two := tagged(t, "one"), tagged(t, "two")
	if r := s.putManifest(s.publisher, repo, sum(one)+"?tag=latest&tag=release-1", one); r.status != http.StatusCreated {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for _, who := range []string{s.publisher, s.Admin} {
		r := s.putManifest(who, repo, sum(two)+"?tag=latest&tag=new&tag=release-1&tag=release-2", two)
		if r.status != http.StatusForbidden || !strings.HasPrefix(r.message(), "IMMUTABLE: tag release-1 names "+sum(one)) || len(r.header.Values("OCI-Tag")) > 0 {
			t.Errorf("%d %v %s", r.status, r.header, r.body)
		}
	}
	if _, err := s.Blobs.Get(attest.DigestOf(two)); err == nil {
		t.Error("the manifest that was refused is kept")
	}
	for _, tag := range []string{"new", "release-2"} {
		if _, ok := s.State.Tag(repo, tag); ok {
			t.Errorf("%s was made all the same", tag)
		}
	}
	if d, _ := s.State.Tag(repo, "latest"); d != attest.DigestOf(one) {
		t.Error("latest was moved")
	}
}

// TestTagsRefused: what is no tag, too many, or not for this request.
func TestTagsRefused(t *testing.T) {
	s := newServer(t)
	s.pushBlob(s.publisher, repo, empty)
	one := tagged(t, "one")
	many := func(n int) string {
		var q []string
		for i := range n {
			q = append(q, fmt.Sprintf("tag=t%d", i))
		}
		return strings.Join(q, "&")
	}
	rebuilder, _ := s.Principal("rebuilder", state.RoleRebuilder)
	for name, c := range map[string]struct {
		who, reference string
		status         int
	}{
		"the same twice":      {s.publisher, sum(one) + "?tag=a&tag=a", 400},
		"empty":               {s.publisher, sum(one) + "?tag=", 400},
		"one of them empty":   {s.publisher, sum(one) + "?tag=a&tag=", 400},
		"a path":              {s.publisher, sum(one) + "?tag=../a", 400},
		"a digest":            {s.publisher, sum(one) + "?tag=" + sum(one), 400},
		"a line":              {s.publisher, sum(one) + "?tag=a%0d%0aX:1", 400},
		"a line at the end":   {s.publisher, sum(one) + "?tag=a%0a", 400},
		"too long":            {s.publisher, sum(one) + "?tag=" + strings.Repeat("a", 129), 400},
		"too many":            {s.publisher, sum(one) + "?" + many(65), 414},
		"by a tag":            {s.publisher, "a?tag=b", 400},
		"another thing twice": {s.publisher, sum(one) + "?tag=a&x=1&x=2", 400},
		"a host":              {s.host, sum(one) + "?tag=a", 403},
		"an auditor":          {s.auditor, sum(one) + "?tag=a", 403},
		"a rebuilder":         {rebuilder, sum(one) + "?tag=a", 403},
		"a digest of another": {s.publisher, sum([]byte("other")) + "?tag=a", 400},
		"a sha512 of another": {s.publisher, name512([]byte("other")) + "?tag=a", 400},
	} {
		if r := s.putManifest(c.who, repo, c.reference, one); r.status != c.status || len(r.header.Values("OCI-Tag")) > 0 {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.body, c.status)
		}
	}
	if tags := s.State.Tags(repo); len(tags) > 0 {
		t.Errorf("tags were made: %v", tags)
	}
	if r := s.putManifest(s.publisher, repo, sum(one)+"?"+many(64), one); r.status != http.StatusCreated || len(s.State.Tags(repo)) != 64 {
		t.Errorf("as many as may be: %d %s", r.status, r.body)
	}
	if r := s.get(s.publisher, manifestPath("t1")+"?tag=a&tag=b"); r.status != http.StatusBadRequest {
		t.Errorf("reading with tags: %d", r.status)
	}
}

// TestRebuilderTagsNothing: a rebuilder may put what it found out, and call it
// nothing.
func TestRebuilderTagsNothing(t *testing.T) {
	s, one, _, _ := scene(t)
	rebuilder, _ := s.Principal("rebuilder", state.RoleRebuilder)
	s.pushBlob(rebuilder, repo, rebuildLog)
	m := artifact(attest.ArtifactRebuild, octets, rebuildLog, one.patch).bytes(t)
	if r := s.putManifest(rebuilder, repo, sum(m)+"?tag=latest", m); r.status != http.StatusForbidden {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.putManifest(rebuilder, repo, sum(m), m); r.status != http.StatusCreated {
		t.Errorf("without a tag: %d %s", r.status, r.body)
	}
}

// TestTagsWithoutARecord: a tag without its record is none, and is not
// confirmed; trying again makes all of them.
func TestTagsWithoutARecord(t *testing.T) {
	s := newServer(t)
	s.pushBlob(s.publisher, repo, empty)
	one := tagged(t, "one")
	s.journal.fail(ledger.KindTag, false)
	if r := s.putManifest(s.publisher, repo, sum(one)+"?tag=a&tag=b", one); r.status != http.StatusServiceUnavailable || len(r.header.Values("OCI-Tag")) > 0 {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	s.journal.fail("", false)
	if r := s.putManifest(s.publisher, repo, sum(one)+"?tag=a&tag=b", one); r.status != http.StatusCreated || len(s.State.Tags(repo)) != 2 {
		t.Errorf("again: %d %s", r.status, r.body)
	}
}

// TestTagsRace: of many who want a tag that is never moved beside others, one
// gets all of its tags, and the others none.
func TestTagsRace(t *testing.T) {
	s := newServer(t)
	s.oci.Immutable = func(tag string) bool { return strings.HasPrefix(tag, "release-") }
	s.pushBlob(s.publisher, repo, empty)
	s.journal.pause = 5 * time.Millisecond
	const n = 8
	var all sync.WaitGroup
	codes := make([]int, n)
	for i := range n {
		m := tagged(t, fmt.Sprint(i))
		all.Go(func() {
			codes[i] = s.putManifest(s.publisher, repo, fmt.Sprintf("%s?tag=own-%d&tag=release-1", sum(m), i), m).status
		})
	}
	all.Wait()
	won := 0
	for i, code := range codes {
		_, own := s.State.Tag(repo, fmt.Sprint("own-", i))
		if (code == http.StatusCreated) != own || code != http.StatusCreated && code != http.StatusForbidden {
			t.Errorf("%d: %d, with its own tag: %v", i, code, own)
		}
		if code == http.StatusCreated {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d got a tag that is never moved", won)
	}
}
