package registry_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/spelling"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// TestCopiesOpenNothing: a host of two products, which a patch fits, gets it
// where it was published, and no copy that somebody pushed to the other product:
// what was said about it was said of the first.
func TestCopiesOpenNothing(t *testing.T) {
	m := newMatrix(t)
	other, _ := m.State.Product(otherRepo)
	products := []string{m.Product.ID, other}
	id, key, token := uuid.NewString(), statetest.NewKey(t), rand.Text()
	m.Must(ledger.KindToken, ledger.TokenMade{Token: token, MAC: "01", Products: products, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second), By: m.Admin})
	m.Must(ledger.KindHost, ledger.HostEnrolled{Host: id, Name: "of both", Key: key.Public.Base64(), Products: products, Token: token, State: state.Active})
	m.runs(id, key, m.two)
	ask := func(w spelling.Way) int {
		return m.send(request{who: id, method: w.Method, path: w.Target, header: w.Header}).status
	}
	for _, w := range spelling.Straight(subject(repo, m.two.PatchManifest, m.two.PatchFile.Digest)) {
		if got := ask(w); got != w.Status {
			t.Errorf("where it was published: %s: %d, want %d", w.Name, got, w.Status)
		}
	}
	for _, w := range spelling.Straight(subject(otherRepo, m.two.PatchManifest, m.two.PatchFile.Digest)) {
		if got := ask(w); got != http.StatusForbidden {
			t.Errorf("the copy: %s: %d, want 403", w.Name, got)
		}
	}
}
