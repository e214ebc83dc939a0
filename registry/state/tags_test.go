package state_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

func TestTagsFollowEveryChange(t *testing.T) {
	h := house(t)
	one := h.PutManifest(statetest.Manifest("application/x", attest.File{Digest: attest.DigestOf([]byte("one")), Size: 3}, ""))
	two := h.PutManifest(statetest.Manifest("application/x", attest.File{Digest: attest.DigestOf([]byte("two")), Size: 3}, ""))
	tag := func(name string, d attest.Digest) {
		h.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: name, Digest: d, By: h.Admin})
	}
	want := func(after string, names ...string) {
		t.Helper()
		if d := cmp.Diff(names, slices.Collect(h.State.TagsAfter(repo, after))); d != "" {
			t.Errorf("after %q (-want +got):\n%s", after, d)
		}
	}
	want("")
	tag("c", one)
	tag("a", two)
	want("", "a", "c")
	page := h.State.TagsAfter(repo, "a")
	tag("b", two)
	want("", "a", "b", "c")
	want("a", "b", "c")
	want("aa", "b", "c")
	want("c")
	if got := slices.Collect(page); !slices.Equal(got, []string{"c"}) {
		t.Errorf("a page that was begun is %q now", got)
	}
	own := h.State.Tags(repo)
	slices.Reverse(own)
	want("", "a", "b", "c")
	h.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Tag: "b", By: h.Admin})
	want("", "a", "c")
	h.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: two, By: h.Admin})
	want("", "c")
	h.Must(ledger.KindManifest, ledger.ManifestPut{Repository: repo, Digest: two, MediaType: "application/vnd.oci.image.manifest.v1+json", By: h.Admin})
	tag("d", two)
	want("", "c", "d")
}

// A page of a long list costs what one of a short list does.
func TestTagPagesAreFlat(t *testing.T) {
	h := house(t)
	d := h.PutManifest(statetest.Manifest("application/x", attest.File{Digest: attest.DigestOf([]byte("one")), Size: 3}, ""))
	for i := range 1000 {
		h.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: fmt.Sprintf("n%04d", i), Digest: d, By: h.Admin})
	}
	page := func() {
		for range h.State.TagsAfter(repo, "n0500") {
			return
		}
	}
	page()
	if n := testing.AllocsPerRun(100, page); n > 3 {
		t.Errorf("%v allocations for the first tag of a page: the list was made anew", n)
	}
}

// A manifest that names one blob twice references it once.
func TestReferencedOnce(t *testing.T) {
	h := house(t)
	empty := attest.File{Digest: attest.DigestOf([]byte("{}")), Size: 2}
	for _, typ := range []string{"application/x", "application/y"} {
		h.PutManifest(statetest.Manifest(typ, empty, ""))
	}
	if got := h.State.Referencing(repo, empty.Digest); len(got) != 2 {
		t.Errorf("%d manifests reference the empty blob, want 2", len(got))
	}
}
