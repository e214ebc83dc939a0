package monitor

import (
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A leaf with a certificate is read, and asked of with it: that its key is known
// is not that its name is, and a key that is watched is told of in certificates.
func TestCertifiedLeaves(t *testing.T) {
	t.Parallel()
	a := verifytest.New(t)
	ca := a.CA("corp", nil)
	said := a.World(a.Product("lib/demo"), "one").Said()[2]
	var leaves [][]byte
	var keys []attest.Digest
	for _, san := range []string{"spiffe://build.example/known", "spiffe://build.example/stranger", "spiffe://build.example/known"} {
		by := ca.Certificate(san, "", nil)
		b, err := attest.ParseBundle(a.Bundle(a.Statement(said.Type, said.About.Manifest, said.About.File, said.Predicate), by))
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0].GetCanonicalizedBody())
		keys = append(keys, by.Key.ID())
	}
	f := newFake(t)
	f.leaf = func(i int64) []byte { return leaves[i] }
	f.grow(int64(len(leaves)))
	known := func(e *ledger.Entry) bool {
		return e.Certificate != nil && e.Certificate.SAN() == "spiffe://build.example/known"
	}
	w := newWatch(t, f, Options{Watched: map[attest.Digest]string{keys[2]: "stolen.pem"}, Known: known})
	r, err := w.visit(f.serve())
	if err != nil || r.Breach || len(w.alerts) != 2 {
		t.Fatalf("%+v, %v: told %+v", r, err, w.alerts)
	}
	for i, want := range []struct {
		index uint64
		kind  Kind
	}{{1, UnknownKey}, {2, WatchedKey}} {
		if got := w.alerts[i]; got.Alert != want.kind || *got.Index != want.index || got.Key != keys[want.index] {
			t.Errorf("told %+v, want %+v", got, want)
		}
	}
}
