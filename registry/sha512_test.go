package registry_test

import (
	"crypto/sha512"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

func name512(b []byte) string { return fmt.Sprintf("sha512:%x", sha512.Sum512(b)) }

// TestSHA512 pushes and pulls by sha512: a name, never an identity.
func TestSHA512(t *testing.T) {
	s := newServer(t)
	blob := []byte("by its sha512")
	begin := func() string {
		return s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"}).header.Get("Location")
	}
	octets := http.Header{"Content-Type": {octets}}
	s.must(http.StatusBadRequest, request{who: s.publisher, method: http.MethodPut, path: begin() + "&digest=" + name512(nil), body: blob, header: octets})
	put := s.must(http.StatusCreated, request{who: s.publisher, method: http.MethodPut, path: begin() + "&digest=" + name512(blob), body: blob, header: octets})
	if got := put.header.Get("Docker-Content-Digest"); got != name512(blob) || put.header.Get("Location") != blobPath(attest.Digest(name512(blob))) {
		t.Errorf("%v", put.header)
	}
	for _, d := range []string{name512(blob), sum(blob)} {
		got := s.get(s.publisher, blobPath(attest.Digest(d)))
		if string(got.body) != string(blob) || got.header.Get("Docker-Content-Digest") != d {
			t.Errorf("%s: %d %s %v", d, got.status, got.body, got.header)
		}
	}
	s.pushBlob(s.publisher, repo, empty)
	m := artifact("application/vnd.example", "application/vnd.example", blob, nil)
	m["layers"] = []doc{{"mediaType": "application/vnd.example", "digest": name512(blob), "size": len(blob)}}
	raw := m.bytes(t)
	if r := s.putManifest(s.publisher, repo, name512([]byte("?")), raw); r.status != http.StatusBadRequest || r.code() != "DIGEST_INVALID" {
		t.Errorf("under another's sha512: %d %s", r.status, r.body)
	}
	r := s.putManifest(s.publisher, repo, name512(raw), raw)
	if r.status != http.StatusCreated || r.header.Get("Docker-Content-Digest") != name512(raw) || r.header.Get("Location") != manifestPath(name512(raw)) {
		t.Fatalf("%d %s %v", r.status, r.body, r.header)
	}
	for _, ref := range []string{name512(raw), sum(raw)} {
		if got := s.get(s.publisher, manifestPath(ref)); string(got.body) != string(raw) || got.header.Get("Docker-Content-Digest") != ref {
			t.Errorf("%s: %d %s %v", ref, got.status, got.body, got.header)
		}
	}
	if got := s.get(s.publisher, "/v2/"+repo+"/tags/list"); strings.Contains(string(got.body), "sha512") {
		t.Errorf("a tag was made: %s", got.body)
	}
	s.must(http.StatusForbidden, request{who: s.publisher, method: http.MethodDelete, path: blobPath(attest.Digest(name512(blob)))})
	about := artifact("application/vnd.example", "application/vnd.example", blob, nil)
	about["subject"] = doc{"mediaType": mediaManifest, "digest": name512(raw), "size": len(raw)}
	d := s.push(about.bytes(t))
	if got := s.get(s.publisher, "/v2/"+repo+"/referrers/"+name512(raw)); !strings.Contains(string(got.body), string(d)) {
		t.Errorf("referrers: %s", got.body)
	}
	for _, who := range []string{s.host, s.otherHost} {
		s.must(http.StatusForbidden, request{who: who, method: http.MethodGet, path: blobPath(attest.Digest(name512(blob)))})
		s.must(http.StatusForbidden, request{who: who, method: http.MethodGet, path: manifestPath(name512(raw)), header: accept})
	}
	s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath(string(d))})
	s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath(name512(raw))})
	s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: blobPath(attest.Digest(name512(blob)))})
	s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: blobPath(attest.Digest(name512(blob)))})
}

// TestWrongSHA512EndsTheUpload: nobody has what they pushed once hashed again and
// again; a wrong digest, by either name, costs the upload and its room.
func TestWrongSHA512EndsTheUpload(t *testing.T) {
	s := newServer(t)
	blob := []byte("pushed once")
	bytes := http.Header{"Content-Type": {octets}}
	for _, wrong := range []string{name512(nil), sum(nil)} {
		begun := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
		at := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPatch, path: begun.header.Get("Location"), body: blob, header: bytes}).header.Get("Location")
		if r := s.send(request{who: s.publisher, method: http.MethodPut, path: at + "&digest=" + wrong}); r.status != http.StatusBadRequest || r.code() != "DIGEST_INVALID" {
			t.Errorf("%s: %d %s", wrong, r.status, r.body)
		}
		for _, again := range []string{wrong, name512(blob), sum(blob)} {
			if r := s.send(request{who: s.publisher, method: http.MethodPut, path: at + "&digest=" + again}); r.status != http.StatusNotFound || r.code() != "BLOB_UPLOAD_UNKNOWN" {
				t.Errorf("%s after %s: %d %s", again, wrong, r.status, r.body)
			}
		}
	}
	if left, err := os.ReadDir(filepath.Join(s.root, "uploads")); err != nil || len(left) != 0 {
		t.Errorf("%d uploads hold room, %v", len(left), err)
	}
	if r := s.get(s.publisher, blobPath(attest.DigestOf(blob))); r.status != http.StatusNotFound {
		t.Errorf("the blob is there: %d", r.status)
	}
}
