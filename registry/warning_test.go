package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
)

// A warning rides on every answer with something of the patch, by whichever way
// it goes, and on no other.
func TestWarningRidesOnTheAnswer(t *testing.T) {
	s, one, two, _ := scene(t)
	site := s.Site()
	site.MinimumAssurance.Host, site.Modes.MinimumHost = "quoted", policy.Warn
	warning := `299 - "LOW_ASSURANCE: want assurance of the host record = at least quoted, got signed"`

	patch, file := manifestPath(string(one.PatchManifest)), blobPath(one.PatchFile.Digest)
	for _, tt := range []struct {
		who, path string
		header    http.Header
		warned    bool
	}{
		{s.host, patch, accept, true},
		{s.host, manifestPath("patch"), nil, true},
		{s.host, file, nil, true},
		{s.host, file, http.Header{"Range": {"bytes=1-2"}}, true},
		{s.host, manifestPath(string(two.PatchManifest)), nil, false}, // denied: its own words stand there
		{s.publisher, patch, accept, false},                           // nothing was decided
		{s.host, blobPath(attest.DigestOf([]byte("nothing"))), nil, false},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			q := request{who: tt.who, method: method, path: tt.path, header: tt.header}
			s.oci.Slow(true)
			slow := s.send(q)
			s.oci.Slow(false)
			quick := s.send(q)
			if d := cmp.Diff(comparable(slow), comparable(quick)); d != "" {
				t.Errorf("%s %s (-slow +quick):\n%s", method, tt.path, d)
			}
			got := quick.header.Values("Warning")
			if warned := len(got) == 1 && got[0] == warning; warned != tt.warned || !warned && strings.Contains(strings.Join(got, " "), "assurance of the host record = at least quoted") {
				t.Errorf("%s %s as %s: status %d, warnings %q, want %v", method, tt.path, tt.who, quick.status, got, tt.warned)
			}
		}
	}
}
