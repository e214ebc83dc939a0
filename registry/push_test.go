package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// TestLaundering: nothing that is pushed beside a patch lets a host read it.
func TestLaundering(t *testing.T) {
	s, one, _, _ := scene(t)
	for name, m := range map[string]doc{
		"an image":                    artifact("", octets, one.patchFile, nil),
		"an artifact of another type": artifact("application/vnd.example", octets, one.patchFile, one.patch),
	} {
		d := s.push(m.bytes(t))
		for _, path := range []string{blobPath(one.PatchFile.Digest), manifestPath(string(d))} {
			if r := s.get(s.otherHost, path); r.status != http.StatusForbidden {
				t.Errorf("%s: GET %s: %d", name, path, r.status)
			}
		}
	}
	index := doc{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []doc{descriptor(mediaManifest, one.patch)}}.bytes(t)
	r := s.send(request{who: s.publisher, method: "PUT", path: manifestPath("index"), body: index, header: http.Header{"Content-Type": {mediaIndex}}})
	if r.status != http.StatusCreated {
		t.Fatalf("putting an index: %d %s", r.status, r.body)
	}
	for _, path := range []string{manifestPath("index"), manifestPath(string(one.PatchManifest)), blobPath(one.PatchManifest)} {
		if r := s.get(s.otherHost, path); r.status != http.StatusForbidden {
			t.Errorf("an index: GET %s: %d", path, r.status)
		}
	}
	refused := map[string]doc{
		"a bundle's layer":           artifact(attest.ArtifactBundle, attest.ArtifactBundle, one.patchFile, one.patch),
		"a bundle of another type":   artifact("application/vnd.dev.sigstore.bundle+json;version=0.2", octets, one.patchFile, one.patch),
		"an artifact with a bundle":  artifact("application/vnd.example", attest.ArtifactBundle, one.patchFile, one.patch),
		"an unknown type of ours":    artifact("application/vnd.patchfit.livepatch.v2", octets, one.patchFile, one.base),
		"a patch for no base":        artifact(attest.ArtifactPatch, octets, one.patchFile, one.image),
		"a patch without a subject":  artifact(attest.ArtifactPatch, octets, one.patchFile, nil),
		"a patch of no bytes":        artifact(attest.ArtifactPatch, octets, empty, one.base),
		"a bundle with a config":     withConfig(carrierDoc(t, s, one), one.patchFile),
		"a patch with a config":      withConfig(artifact(attest.ArtifactPatch, octets, one.baseFile, one.base), one.patchFile),
		"a base with two files":      withLayers(artifact(attest.ArtifactBase, octets, one.baseFile, one.environment), one.baseFile, one.patchFile),
		"a base of no environment":   artifact(attest.ArtifactBase, octets, one.baseFile, one.image),
		"a bundle with two layers":   withLayers(carrierDoc(t, s, one), one.patchFile, one.baseFile),
		"a bundle about nothing":     artifact(attest.ArtifactBundle, attest.ArtifactBundle, one.patchFile, nil),
		"a bundle about the unknown": artifact(attest.ArtifactBundle, attest.ArtifactBundle, one.patchFile, []byte("?")),
	}
	for name, m := range refused {
		raw := m.bytes(t)
		if r := s.putManifest(s.publisher, repo, sum(raw), raw); r.status != http.StatusBadRequest && r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		} else if !strings.Contains(r.message(), ": ") || !strings.Contains(r.message(), "; ") {
			t.Errorf("%s: no fact and next step in %q", name, r.message())
		}
		if r := s.get(s.publisher, manifestPath(sum(raw))); r.status != http.StatusNotFound {
			t.Errorf("%s: refused, and there: %d", name, r.status)
		}
		if r := s.get(s.otherHost, blobPath(one.PatchFile.Digest)); r.status != http.StatusForbidden {
			t.Errorf("%s: the patch can be read: %d", name, r.status)
		}
	}
}

func withConfig(m doc, config []byte) doc {
	m["config"] = descriptor(octets, config)
	return m
}

func withLayers(m doc, files ...[]byte) doc {
	var layers []doc
	for _, f := range files {
		layers = append(layers, descriptor(octets, f))
	}
	m["layers"] = layers
	return m
}

func carrierDoc(t *testing.T, s *server, w *world) doc {
	t.Helper()
	bundles, about := s.bundles(w)
	s.pushBlob(s.publisher, repo, bundles[0])
	return artifact(attest.ArtifactBundle, attest.ArtifactBundle, bundles[0], about[0])
}

// TestUploadsBelongToWhoBeganThem: to everybody else they do not exist.
func TestUploadsBelongToWhoBeganThem(t *testing.T) {
	s, _, _, neighbour := scene(t)
	thief, _ := s.Principal("another publisher", state.RolePublisher)
	begun := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
	location := begun.header.Get("Location")
	if !strings.HasPrefix(location, "/v2/") {
		t.Fatalf("Location %q is not relative", location)
	}
	data := []byte("chunk")
	chunk := http.Header{"Content-Type": {octets}}
	elsewhere := strings.Replace(location, repo, otherRepo, 1)
	for _, q := range []request{
		{who: thief, method: http.MethodGet, path: location},
		{who: thief, method: http.MethodPatch, path: location, body: data, header: chunk},
		{who: thief, method: http.MethodPut, path: location + "&digest=" + sum(data), body: data, header: chunk},
		{who: thief, method: http.MethodDelete, path: location},
		{who: neighbour, method: http.MethodPatch, path: elsewhere, body: data, header: chunk},
	} {
		if r := s.send(q); r.status != http.StatusNotFound && r.status != http.StatusBadRequest {
			t.Errorf("%s %s by another: %d %s", q.method, q.path, r.status, r.body)
		}
	}
	got := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPatch, path: location, body: data, header: chunk})
	status := s.must(http.StatusNoContent, request{who: s.publisher, method: http.MethodGet, path: got.header.Get("Location")})
	if r := status.header.Get("Range"); r != "0-4" {
		t.Errorf("range %q after 5 bytes", r)
	}
	s.must(http.StatusBadRequest, request{who: s.publisher, method: http.MethodPut, path: got.header.Get("Location") + "&digest=" + sum([]byte("other"))})
	s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: got.header.Get("Location")})
	if left, err := os.ReadDir(filepath.Join(s.root, "uploads")); err != nil || len(left) != 0 {
		t.Errorf("a refused upload leaves %v, %v", left, err)
	}
}

// TestTooLargeAnUpload: parts that are more than a blob may have end the upload,
// and give their room back.
func TestTooLargeAnUpload(t *testing.T) {
	s := newServer(t)
	s.oci.Limits.Blob = 100
	begun := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
	part := request{who: s.publisher, method: http.MethodPatch, path: begun.header.Get("Location"), body: make([]byte, 60), header: http.Header{"Content-Type": {octets}}}
	part.path = s.must(http.StatusAccepted, part).header.Get("Location")
	if r := s.send(part); r.status != http.StatusRequestEntityTooLarge || r.code() != "SIZE_INVALID" {
		t.Errorf("120 of 100 bytes: %d %s", r.status, r.body)
	}
	s.nothingIsOpen("too large")
	s.must(http.StatusNotFound, part)
}

// TestUploadLimits: who opens uploads without end loses the oldest.
func TestUploadLimits(t *testing.T) {
	s := newServer(t)
	begin := request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"}
	var all []string
	for range 17 {
		all = append(all, s.must(http.StatusAccepted, begin).header.Get("Location"))
	}
	s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: all[0]})
	s.must(http.StatusNoContent, request{who: s.publisher, method: http.MethodGet, path: all[1]})
	s.must(http.StatusNoContent, request{who: s.publisher, method: http.MethodDelete, path: all[16]})
	s.must(http.StatusAccepted, begin)
	s.must(http.StatusNoContent, request{who: s.publisher, method: http.MethodGet, path: all[1]})
}

// TestRestart: what was acknowledged is there afterwards, unfinished uploads
// are gone, and the state made again from the journal says the same.
func TestRestart(t *testing.T) {
	s, one, _, _ := scene(t)
	begun := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
	list := s.get(s.publisher, "/v2/"+repo+"/tags/list").body
	again, err := s.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	s.State = again
	s.start()
	if got := s.get(s.publisher, "/v2/"+repo+"/tags/list").body; string(got) != string(list) {
		t.Errorf("tags %s, before %s", got, list)
	}
	if r := s.get(s.publisher, manifestPath("patch")); string(r.body) != string(one.patch) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.get(s.publisher, begun.header.Get("Location")); r.status != http.StatusNotFound && r.status != http.StatusBadRequest {
		t.Errorf("an upload of before: %d", r.status)
	}
	if left, err := os.ReadDir(filepath.Join(s.root, "uploads")); err != nil || len(left) != 0 {
		t.Errorf("files of uploads are left over: %v, %v", left, err)
	}
}

// TestCommitOrder breaks every step of a put, twice: it did not happen, and it
// happened and the answer was lost. Nothing half done is seen, and doing it
// again succeeds.
func TestCommitOrder(t *testing.T) {
	for _, kind := range []ledger.Kind{ledger.KindStatement, ledger.KindManifest, ledger.KindTag, ""} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s after=%v", kind, after), func(t *testing.T) {
				s := newServer(t)
				w := s.world("one")
				s.pushArtifacts(w)
				bundles, about := s.bundles(w)
				s.pushBlob(s.publisher, repo, bundles[0])
				raw := carrier(t, bundles[0], about[0])
				d := attest.DigestOf(raw)
				s.breakOne(kind, after)
				r := s.putManifest(s.publisher, repo, "bundle", raw)
				if r.status != http.StatusServiceUnavailable || r.header.Get("OCI-Subject") != "" {
					t.Errorf("%d %s %v, want 503", r.status, r.body, r.header)
				}
				if _, visible := s.State.Manifest(repo, d); visible && (kind == "" || kind == ledger.KindStatement || !after && kind == ledger.KindManifest) {
					t.Error("a manifest without its record is seen")
				}
				if n := s.count(ledger.KindTag); n != 0 && kind != ledger.KindTag {
					t.Error("a tag was moved to what was not acknowledged")
				}
				s.mend()
				if r := s.putManifest(s.publisher, repo, "bundle", raw); r.status != http.StatusCreated {
					t.Fatalf("again: %d %s", r.status, r.body)
				}
				m, ok := s.State.Manifest(repo, d)
				tag, tagged := s.State.Tag(repo, "bundle")
				if !ok || m.Bundle != attest.DigestOf(bundles[0]) || !tagged || tag != d {
					t.Errorf("after putting it again: %+v, tag %s", m, tag)
				}
				if n := len(s.State.Evidence(repo, attest.DigestOf(about[0]))); n != 1 {
					t.Errorf("%d statements, want 1", n)
				}
			})
		}
	}
}

func (s *server) breakOne(kind ledger.Kind, after bool) {
	if kind == "" {
		s.Blobs.Err = fmt.Errorf("no space left on device")
		return
	}
	s.journal.fail(kind, after)
}

func (s *server) mend() {
	s.Blobs.Err = nil
	s.journal.fail("", false)
}

// TestInvisibleWithoutRecord: bytes that are there are not enough.
func TestInvisibleWithoutRecord(t *testing.T) {
	s := newServer(t)
	w := s.world("one")
	s.pushBlob(s.publisher, repo, empty)
	s.journal.fail(ledger.KindBlob, false)
	location := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"}).header.Get("Location")
	s.must(http.StatusServiceUnavailable, request{
		who: s.publisher, method: http.MethodPut, path: location + "&digest=" + sum(w.imageLayer), body: w.imageLayer, header: http.Header{"Content-Type": {octets}},
	})
	if _, err := os.Stat(s.file(attest.DigestOf(w.imageLayer))); err != nil {
		t.Fatalf("the test expects the bytes on the disk: %v", err)
	}
	s.must(http.StatusNotFound, request{who: s.Admin, method: http.MethodGet, path: blobPath(attest.DigestOf(w.imageLayer))})
	if r := s.putManifest(s.publisher, repo, "x", w.image); r.status != http.StatusBadRequest || r.code() != "MANIFEST_BLOB_UNKNOWN" {
		t.Errorf("a manifest that names it: %d %s", r.status, r.body)
	}
	s.journal.fail(ledger.KindManifest, false)
	s.pushBlob(s.publisher, repo, w.imageLayer)
	if r := s.putManifest(s.publisher, repo, "x", w.image); r.status != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if _, err := s.Blobs.Get(w.Builder); err != nil {
		t.Fatalf("the test expects the bytes in the ledger store: %v", err)
	}
	for _, ref := range []string{"x", string(w.Builder)} {
		if r := s.get(s.Admin, manifestPath(ref)); r.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", ref, r.status, r.body)
		}
	}
	if got := s.get(s.Admin, "/v2/"+repo+"/tags/list"); !strings.Contains(string(got.body), `"tags":[]`) {
		t.Errorf("tags %s", got.body)
	}
}

// TestPutIsIdempotent: the same again is no new fact.
func TestPutIsIdempotent(t *testing.T) {
	s, one, _, _ := scene(t)
	before := len(s.House.Journal.Records())
	for range 3 {
		s.push(one.patch)
		if r := s.putManifest(s.publisher, repo, "patch", one.patch); r.status != http.StatusCreated || r.header.Get("OCI-Subject") != string(one.BaseManifest) {
			t.Errorf("%d %s %v", r.status, r.body, r.header)
		}
	}
	if n := len(s.House.Journal.Records()); n != before {
		t.Errorf("%d new records", n-before)
	}
}

// TestDelete: a delete hides and is on record, and takes no evidence away.
func TestDelete(t *testing.T) {
	s, one, _, _ := scene(t)
	del := func(path string, want int) {
		t.Helper()
		s.must(want, request{who: s.publisher, method: http.MethodDelete, path: path})
	}
	evidence := len(s.State.Evidence(repo, one.PatchManifest))
	del(blobPath(one.PatchFile.Digest), http.StatusForbidden) // the patch needs it
	del(manifestPath("patch"), http.StatusAccepted)
	s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: manifestPath("patch")})
	s.must(http.StatusOK, request{who: s.publisher, method: http.MethodGet, path: manifestPath(string(one.PatchManifest)), header: accept})
	del(manifestPath(string(one.PatchManifest)), http.StatusAccepted)
	s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: manifestPath(string(one.PatchManifest))})
	del(blobPath(one.PatchFile.Digest), http.StatusAccepted)
	s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: blobPath(one.PatchFile.Digest)})
	if n := s.count(ledger.KindDelete); n != 2 {
		t.Errorf("%d deletes on record, want 2", n)
	}
	if n := len(s.State.Evidence(repo, one.PatchManifest)); n != evidence || n == 0 {
		t.Errorf("%d statements, %d before", n, evidence)
	}
	if raw, err := s.Blobs.Get(one.PatchManifest); err != nil || string(raw) != string(one.patch) {
		t.Errorf("the ledger's copy: %s, %v", raw, err)
	}
	if r := s.get(s.auditor, "/v2/"+repo+"/referrers/"+string(one.PatchManifest)); !strings.Contains(string(r.body), attest.ArtifactBundle) {
		t.Errorf("its referrers went with it: %s", r.body)
	}
	s.journal.fail(ledger.KindDelete, false)
	del(manifestPath("base"), http.StatusServiceUnavailable)
	del(manifestPath(string(one.BaseManifest)), http.StatusServiceUnavailable)
	s.journal.fail("", false)
	s.must(http.StatusOK, request{who: s.publisher, method: http.MethodGet, path: manifestPath("base"), header: accept})
}

// TestReferrers asks for lists as different principals.
func TestReferrers(t *testing.T) {
	s, one, two, _ := scene(t)
	list := func(who string, subject attest.Digest, filter string) []string {
		t.Helper()
		path := "/v2/" + repo + "/referrers/" + string(subject)
		if filter != "" {
			path += "?artifactType=" + filter
		}
		r := s.must(http.StatusOK, request{who: who, method: http.MethodGet, path: path})
		if got := r.header.Get("Content-Type"); got != mediaIndex {
			t.Errorf("content type %q", got)
		}
		if got := r.header.Get("OCI-Filters-Applied"); (got == "artifactType") != (filter != "") {
			t.Errorf("filters applied: %q", got)
		}
		var index struct {
			SchemaVersion int    `json:"schemaVersion"`
			MediaType     string `json:"mediaType"`
			Manifests     []struct {
				MediaType, ArtifactType, Digest string
				Size                            int
			} `json:"manifests"`
		}
		if err := json.Unmarshal(r.body, &index); err != nil || index.SchemaVersion != 2 || index.Manifests == nil {
			t.Fatalf("%s: %v", r.body, err)
		}
		var types []string
		for _, m := range index.Manifests {
			types = append(types, m.ArtifactType)
			if m.MediaType != mediaManifest || m.Size == 0 {
				t.Errorf("%+v", m)
			}
		}
		return types
	}
	b, p := attest.ArtifactBundle, attest.ArtifactPatch
	s.push(artifact("application/vnd.example", octets, one.imageLayer, one.base).bytes(t))
	for name, c := range map[string]struct {
		who     string
		subject attest.Digest
		filter  string
		want    []string
	}{
		"publisher, base":      {s.publisher, one.BaseManifest, "", []string{b, b, "application/vnd.example", p}},
		"host, its base":       {s.host, one.BaseManifest, "", []string{b, b, p}},
		"other host, the base": {s.otherHost, one.BaseManifest, "", []string{b, b}},
		"other host, its base": {s.otherHost, two.BaseManifest, "", []string{b, b, p}},
		"patches":              {s.auditor, one.BaseManifest, p, []string{p}},
		"none of a type":       {s.auditor, one.BaseManifest, "application/nothing", nil},
		"patch":                {s.otherHost, one.PatchManifest, "", []string{b, b}},
		"unknown subject":      {s.publisher, attest.DigestOf(nil), "", nil},
	} {
		got := list(c.who, c.subject, c.filter)
		if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(strings.Compare)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if i := slices.IndexFunc(got, func(a string) bool { return a != b }); i >= 0 && slices.Contains(got[i:], b) {
			t.Errorf("%s: bundles do not come first: %v", name, got)
		}
	}
	for _, bad := range []string{"sha512:" + strings.Repeat("a", 127), "latest", "sha256:abc"} {
		s.must(http.StatusBadRequest, request{who: s.auditor, method: http.MethodGet, path: "/v2/" + repo + "/referrers/" + bad})
	}
}

// TestTagsList: hosts see the tags of what they may have.
func TestTagsList(t *testing.T) {
	s, _, two, _ := scene(t)
	if r := s.putManifest(s.publisher, repo, "two", two.patch); r.status != http.StatusCreated {
		t.Fatal(r.status)
	}
	for who, want := range map[string]string{
		s.publisher: `["base","patch","two"]`, s.auditor: `["base","patch","two"]`,
		s.host: `["patch"]`, s.otherHost: `["two"]`,
	} {
		if r := s.get(who, "/v2/"+repo+"/tags/list"); !strings.Contains(string(r.body), want) {
			t.Errorf("tags %s, want %s", r.body, want)
		}
	}
	first := s.get(s.publisher, "/v2/"+repo+"/tags/list?n=2")
	if !strings.Contains(string(first.body), `["base","patch"]`) || !strings.Contains(first.header.Get("Link"), "last=patch") {
		t.Errorf("first page %s, %v", first.body, first.header)
	}
	if r := s.get(s.publisher, "/v2/"+repo+"/tags/list?n=2&last=patch"); !strings.Contains(string(r.body), `["two"]`) || r.header.Get("Link") != "" {
		t.Errorf("last page %s, %v", r.body, r.header)
	}
	if r := s.get(s.Admin, "/v2/_catalog"); !strings.Contains(string(r.body), `["kernel/debian-12-amd64","library/other"]`) {
		t.Errorf("catalog %s", r.body)
	}
	if r := s.get(s.Admin, "/v2/_catalog?n=1"); !strings.Contains(string(r.body), `["kernel/debian-12-amd64"]`) || r.header.Get("Link") == "" {
		t.Errorf("catalog %s %v", r.body, r.header)
	}
}

// TestUnknownTypesAreHidden: a statement of a type nobody here knows is kept for
// those who may read the product, is no evidence, and no host sees it.
func TestUnknownTypesAreHidden(t *testing.T) {
	s, one, _, _ := scene(t)
	statements := s.count(ledger.KindStatement)
	raw := s.Say(verifytest.Said{
		Role: attest.RolePatch, Type: "https://example.com/scan/v1",
		About: verify.Artifact{Manifest: one.PatchManifest, File: one.PatchFile.Digest}, Predicate: attest.Unknown(`{"found":0}`),
	})
	d := s.attachBundle(raw, one.patch)
	for _, path := range []string{manifestPath(string(d)), blobPath(attest.DigestOf(raw))} {
		if r := s.get(s.auditor, path); r.status != http.StatusOK {
			t.Errorf("auditor: %s: %d %s", path, r.status, r.body)
		}
		if r := s.get(s.host, path); r.status != http.StatusForbidden {
			t.Errorf("host: %s: %d", path, r.status)
		}
	}
	referrers := "/v2/" + repo + "/referrers/" + string(one.PatchManifest)
	if r := s.get(s.host, referrers); strings.Contains(string(r.body), string(d)) {
		t.Errorf("the host sees it in %s", r.body)
	}
	if r := s.get(s.auditor, referrers); !strings.Contains(string(r.body), string(d)) {
		t.Errorf("the auditor does not see it in %s", r.body)
	}
	if got, err := s.Blobs.Get(attest.DigestOf(raw)); err != nil || string(got) != string(raw) {
		t.Errorf("the ledger's copy: %v", err)
	}
	if n := s.count(ledger.KindStatement); n != statements {
		t.Error("it was recorded as a statement")
	}
}

// TestOnlyTheFile: a patch that the gate allows opens the one file it consists
// of, and nothing else that its manifest may name. Admission refuses such a
// manifest; here it is in the journal all the same.
func TestOnlyTheFile(t *testing.T) {
	s := newServer(t)
	w := s.world("one")
	secret := []byte("another patch")
	for _, b := range [][]byte{empty, secret, w.patchFile} {
		s.pushBlob(s.publisher, repo, b)
	}
	w.patch = withConfig(artifact(attest.ArtifactPatch, octets, w.patchFile, w.base), secret).bytes(t)
	w.PatchManifest = attest.DigestOf(w.patch)
	for _, m := range [][]byte{w.image, w.environment, w.base, w.patch} {
		s.PutManifest(m)
	}
	for _, said := range w.Said() {
		s.SayIt(said)
	}
	s.runs(s.host, s.hostKey, w)
	s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: blobPath(w.PatchFile.Digest)})
	if r := s.get(s.host, blobPath(attest.DigestOf(secret))); r.status != http.StatusForbidden {
		t.Errorf("the config of a patch that is allowed: %d %s", r.status, r.body)
	}
}
