package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// TestBornRevoked: a server hears of a revocation before it has what is revoked,
// as one that is filled from a mirror does. A host that asks is told so: before
// anything is there, when the patch is there and nothing is said of it, and when
// what was said of it before the revocation has come.
func TestBornRevoked(t *testing.T) {
	s := newServer(t)
	w := s.world("one")
	old, about := s.bundles(w)
	s.RevokeIt(attest.RevokeSubject, w.PatchManifest)
	path := manifestPath(string(w.PatchManifest))
	told := func(when string, decisions int) {
		t.Helper()
		before := s.count(ledger.KindDecision)
		r := s.get(s.host, path)
		if r.status != http.StatusForbidden || !strings.HasPrefix(r.message(), "REVOKED: ") || !strings.Contains(r.message(), "the test says so") {
			t.Errorf("%s: %d %s", when, r.status, r.body)
		}
		if n := s.count(ledger.KindDecision) - before; n != decisions {
			t.Errorf("%s: %d decisions are on record, want %d", when, n, decisions)
		}
		checkReply(t, when, r, w)
	}
	told("nothing is there", 0)
	if r := s.get(s.publisher, path); r.status != http.StatusNotFound {
		t.Errorf("a publisher, of what is not there: %d %s", r.status, r.body)
	}
	if r := s.get(s.host, manifestPath(string(w.BaseManifest))); r.status != http.StatusNotFound {
		t.Errorf("what nobody revoked: %d %s", r.status, r.body)
	}
	s.pushArtifacts(w)
	last := len(old) - 1
	for i := range old[:last-1] {
		s.attachBundle(old[i], about[i])
	}
	s.runs(s.host, s.hostKey, w)
	told("nothing is said of the patch", 1)

	renewed, _ := s.bundles(w)
	s.pushBlob(s.publisher, repo, renewed[last])
	if r := s.putManifest(s.publisher, repo, string(attest.DigestOf(carrier(t, renewed[last], about[last]))), carrier(t, renewed[last], about[last])); r.status != http.StatusForbidden || !strings.HasPrefix(r.message(), "REVOKED: ") {
		t.Errorf("a statement that is made after the revocation: %d %s", r.status, r.body)
	}
	for i := last - 1; i <= last; i++ {
		s.attachBundle(old[i], about[i])
	}
	told("what was said before is there", 1)
	if r := s.get(s.host, blobPath(w.PatchFile.Digest)); r.status != http.StatusForbidden {
		t.Errorf("the file: %d", r.status)
	}
}
