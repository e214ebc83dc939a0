package registry_test

import (
	"net/http"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/spelling"
	"github.com/patchfit/patchfit/registry/state"
)

// TestNoMountAround: no way of asking for a mount puts a blob of a product where
// who asks may not read it. An admin, who may, asks last.
func TestNoMountAround(t *testing.T) {
	for _, name := range []string{"", "by sha512: ", "base: "} {
		m := newMatrix(t) // what the admin mounted stays
		d := map[string][2]attest.Digest{
			"":            {m.one.PatchManifest, m.one.PatchFile.Digest},
			"by sha512: ": {m.one.PatchManifest, attest.Digest(name512(m.one.patchFile))},
			"base: ":      {m.one.BaseManifest, m.one.BaseFile.Digest},
		}[name]
		rows := as(name, spelling.Mounts(subject(repo, d[0], d[1])), func(status int) expected {
			if status == http.StatusAccepted {
				return next(status)
			}
			return everybody(status)
		})
		for c := range columns {
			for _, r := range rows {
				if c == admin && r.name == name+"mount" {
					r.want = next(http.StatusCreated)
				}
				m.ask(r, c)
				if c == admin {
					continue
				}
				if got := m.get(m.who[neighbour], "/v2/"+otherRepo+"/blobs/"+string(d[1])); got.status != http.StatusNotFound {
					t.Fatalf("%s: after %s the blob is in %s: %d %s", columnNames[c], r.name, otherRepo, got.status, got.body)
				}
			}
		}
		// Where it was mounted by who may, it opens nothing to hosts here or there.
		for _, c := range []int{misfit, suspended, fitting} {
			if got := m.get(m.who[c], "/v2/"+otherRepo+"/blobs/"+string(m.one.PatchFile.Digest)); got.status != http.StatusNotFound {
				t.Errorf("%s: %d %s", columnNames[c], got.status, got.body)
			}
		}
		if got := m.get(m.who[misfit], blobPath(m.one.PatchFile.Digest)); got.status != http.StatusForbidden {
			t.Errorf("the host it does not fit: %d %s", got.status, got.body)
		}
	}
}

// TestNotMountedNotNamed: a manifest elsewhere cannot name a blob that is not
// there.
func TestNotMountedNotNamed(t *testing.T) {
	s, one, _, neighbour := scene(t)
	s.pushBlob(neighbour, otherRepo, empty)
	raw := artifact("application/vnd.example", octets, one.patchFile, nil).bytes(t)
	if r := s.putManifest(neighbour, otherRepo, "x", raw); r.status != http.StatusBadRequest || r.code() != "MANIFEST_BLOB_UNKNOWN" {
		t.Errorf("a manifest that names it: %d %s", r.status, r.body)
	}
}

// TestMountByReader: who may read a blob where it is and push where it goes has
// it there with one request; a host of the other product gets nothing by it.
func TestMountByReader(t *testing.T) {
	s, one, _, _ := scene(t)
	both, _ := s.Principal("publisher of both", state.RolePublisher)
	other, _ := s.State.Product(otherRepo)
	s.Must(ledger.KindGrant, ledger.Granted{Principal: both, Product: other, Role: state.RolePublisher, By: s.Admin})
	d := one.PatchFile.Digest
	q := request{who: both, method: http.MethodPost, path: "/v2/" + otherRepo + "/blobs/uploads/?mount=" + string(d) + "&from=" + repo}
	for range 2 {
		got := s.must(http.StatusCreated, q)
		if got.header.Get("Docker-Content-Digest") != string(d) || got.header.Get("Location") != "/v2/"+otherRepo+"/blobs/"+string(d) {
			t.Errorf("%v", got.header)
		}
	}
	if got := s.get(both, "/v2/"+otherRepo+"/blobs/"+string(d)); string(got.body) != string(one.patchFile) {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, who := range []string{s.host, s.otherHost} {
		if got := s.get(who, "/v2/"+otherRepo+"/blobs/"+string(d)); got.status != http.StatusNotFound {
			t.Errorf("a host: %d", got.status)
		}
	}
	q.path = "/v2/" + otherRepo + "/blobs/uploads/?mount=" + string(attest.DigestOf([]byte("nobody"))) + "&from=" + repo
	s.must(http.StatusAccepted, q)
}
