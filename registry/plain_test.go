package registry_test

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/registry"
)

// TestPlainIsOneForm puts paths together from all that could be wrong with one:
// what is let in at one glance is let in by the long look, too.
func TestPlainIsOneForm(t *testing.T) {
	pieces := []string{"/", "/v2/", "v2", "a", "A", "0", ".", "..", "//", "-", "_", ":", "%2e", "%", "\\", "\x00", "é", " ", "?", "/blobs/uploads", "manifests/", "sha256:", "/x.y", "/.x"}
	r := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for range 200_000 {
		var b strings.Builder
		for b.WriteString("/v2/"); r.IntN(5) > 0; {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		text := b.String()[r.IntN(2)*r.IntN(4):]
		u := &url.URL{Path: text}
		if r.IntN(2) == 0 {
			var err error
			if u, err = url.ParseRequestURI(text); err != nil {
				continue
			}
		}
		if !registry.Plain(u) {
			continue
		}
		if plain++; !registry.OneForm(u) {
			t.Fatalf("%q (%q) is let in at one glance", u.Path, u.RawPath)
		}
	}
	if plain < 5_000 {
		t.Errorf("only %d paths were let in", plain)
	}
	for _, p := range []string{"/v2/kernel/debian-12-amd64/manifests/patch", "/v2/a/blobs/sha256:00"} {
		if !registry.Plain(&url.URL{Path: p}) {
			t.Errorf("%s is not let in at one glance", p)
		}
	}
}
