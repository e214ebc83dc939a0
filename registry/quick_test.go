package registry_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

// TestQuickIsSlow asks for everything as everybody, once answered the quick way
// and once by distribution: status, headers and bytes are the same.
func TestQuickIsSlow(t *testing.T) {
	s, one, two, neighbour := scene(t)
	bundles, about := s.bundles(one)
	bundle := s.attachBundle(bundles[0], about[0])
	large := []byte(strings.Repeat("a large blob ", 10_000))
	s.pushBlob(s.publisher, repo, large)
	index := doc{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []doc{descriptor(mediaManifest, one.patch)}}.bytes(t)
	s.must(http.StatusCreated, request{who: s.publisher, method: http.MethodPut, path: manifestPath("index"), body: index, header: http.Header{"Content-Type": {mediaIndex}}})

	var paths []string
	for _, ref := range []string{
		"patch", "base", "index", "nothing", "sha256:abc", string(one.PatchManifest), string(two.PatchManifest), string(one.BaseManifest), string(one.EnvManifest),
		string(one.Builder), string(bundle), string(one.PatchFile.Digest), string(attest.DigestOf(nil)), "sha512:" + strings.Repeat("a", 128),
	} {
		paths = append(paths, manifestPath(ref))
	}
	for _, b := range [][]byte{empty, large, one.patchFile, two.patchFile, one.baseFile, one.environmentFile, bundles[0], one.patch, nil} {
		paths = append(paths, blobPath(attest.DigestOf(b)))
	}
	paths = append(paths, "/v2/"+otherRepo+"/manifests/"+string(one.PatchManifest), "/v2/no/such/manifests/x", manifestPath("patch")+"?x=y")
	headers := []http.Header{
		nil, accept, {"Accept": {mediaManifest + ";q=1, text/plain"}}, {"Accept": {"*/*"}}, {"Accept": {mediaManifest + "x"}},
		{"Range": {"bytes=1-2"}}, {"If-None-Match": {`"` + string(one.PatchManifest) + `"`}}, {"If-Modified-Since": {"Wed, 25 Nov 2026 12:00:00 GMT"}},
	}
	quick := 0
	for _, path := range paths {
		for _, who := range []string{"", s.stranger, neighbour, s.host, s.otherHost, s.auditor, s.publisher, s.Admin} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for i, h := range headers {
					q := request{who: who, method: method, path: path, header: h}
					s.oci.Slow(true)
					want := s.send(q)
					s.oci.Slow(false)
					got := s.send(q)
					if d := cmp.Diff(comparable(want), comparable(got)); d != "" {
						t.Errorf("%s %s as %q with headers %d (-slow +quick):\n%s", method, path, who, i, d)
					}
					if got.status == http.StatusOK {
						quick++
					}
				}
			}
		}
	}
	if quick < 100 {
		t.Errorf("only %d requests were answered", quick)
	}
}

// comparable is all of a reply but the time of day.
func comparable(r reply) []string {
	h := r.header.Clone()
	h.Del("Date")
	return []string{fmt.Sprint(r.status), fmt.Sprint(h), string(r.body)}
}

// TestHeadSaysHowLong: the head of a manifest says how long it is, and comes
// alone, on every protocol: net/http counts what it does not send.
func TestHeadSaysHowLong(t *testing.T) {
	s, one, _, _ := scene(t)
	for _, second := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(s.asked(s.oci.ServeHTTP))
		srv.EnableHTTP2 = second
		srv.StartTLS()
		defer srv.Close()
		for _, path := range []string{manifestPath("patch"), blobPath(one.PatchFile.Digest)} {
			var got [2]int64
			for i, method := range []string{http.MethodGet, http.MethodHead} {
				r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header = http.Header{whoHeader: {s.host}}
				res, err := srv.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				if got[i] = res.ContentLength; err != nil || res.StatusCode != http.StatusOK || (len(b) == 0) != (method == http.MethodHead) || res.ProtoMajor == 2 != second {
					t.Errorf("%s %s: %s, status %d, %d bytes, %v", method, path, res.Proto, res.StatusCode, len(b), err)
				}
				_ = res.Body.Close() // it is read
			}
			if got[0] <= 0 || got[0] != got[1] {
				t.Errorf("%s over HTTP/2 (%t): GET tells %d bytes, HEAD %d", path, second, got[0], got[1])
			}
		}
	}
}
