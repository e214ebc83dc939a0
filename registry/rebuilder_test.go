package registry_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
)

// TestRebuilder: a rebuilder attaches what a rebuild left behind to what is
// there, by digest. It moves no tag, puts nothing else, and deletes nothing.
func TestRebuilder(t *testing.T) {
	s, one, _, _ := scene(t)
	who, _ := s.Principal("rebuilder", state.RoleRebuilder)
	s.pushBlob(who, repo, rebuildLog)
	about := artifact(attest.ArtifactRebuild, octets, rebuildLog, one.patch).bytes(t)
	other := artifact("application/vnd.example", octets, rebuildLog, one.patch).bytes(t)
	alone := artifact("application/vnd.example", octets, rebuildLog, nil).bytes(t)
	patch := artifact(attest.ArtifactPatch, octets, rebuildLog, one.base).bytes(t)
	index := doc{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []doc{descriptor(mediaManifest, one.patch)}}.bytes(t)
	attached := doc{"schemaVersion": 2, "mediaType": mediaIndex, "artifactType": attest.ArtifactRebuild, "manifests": []doc{}, "subject": descriptor(mediaManifest, one.patch)}.bytes(t)
	isIndex := http.Header{"Content-Type": {mediaIndex}}
	records := len(s.House.Journal.Records())
	for name, q := range map[string]request{
		"by a tag":                 {method: http.MethodPut, path: manifestPath("mine"), body: about},
		"by somebody's tag":        {method: http.MethodPut, path: manifestPath("patch"), body: about},
		"by a tag of referrers":    {method: http.MethodPut, path: manifestPath("sha256-" + one.PatchManifest.Hex()), body: about},
		"by the placeholder":       {method: http.MethodPut, path: manifestPath("sha512"), body: about},
		"something else, attached": {method: http.MethodPut, path: manifestPath(sum(other)), body: other},
		"without a subject":        {method: http.MethodPut, path: manifestPath(sum(alone)), body: alone},
		"its sha512, alone":        {method: http.MethodPut, path: manifestPath(name512(alone)), body: alone},
		"a patch of its own":       {method: http.MethodPut, path: manifestPath(sum(patch)), body: patch},
		"a patch that is there":    {method: http.MethodPut, path: manifestPath(string(one.PatchManifest)), body: one.patch},
		"an index":                 {method: http.MethodPut, path: manifestPath(sum(index)), body: index, header: isIndex},
		"delete a tag":             {method: http.MethodDelete, path: manifestPath("patch")},
		"delete a manifest":        {method: http.MethodDelete, path: manifestPath(string(one.PatchManifest))},
		"delete its own blob":      {method: http.MethodDelete, path: blobPath(attest.DigestOf(rebuildLog))},
	} {
		q.who = who
		if q.header == nil {
			q.header = http.Header{"Content-Type": {mediaManifest}}
		}
		if r := s.send(q); r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s, want 403", name, r.status, r.body)
		}
	}
	r := s.send(request{who: who, method: http.MethodPut, path: manifestPath(sum(attached)), body: attached, header: isIndex})
	if r.status != http.StatusBadRequest {
		t.Errorf("a rebuild that is an index: %d %s", r.status, r.body)
	}
	if n := len(s.House.Journal.Records()); n != records {
		t.Errorf("%d records of what was refused", n-records)
	}
	for _, ref := range []string{sum(about), name512(about)} {
		if r := s.putManifest(who, repo, ref, about); r.status != http.StatusCreated || r.header.Get("OCI-Subject") != string(one.PatchManifest) {
			t.Errorf("by digest, with a subject: %d %s", r.status, r.body)
		}
	}
	if r := s.send(request{who: who, method: http.MethodDelete, path: manifestPath(sum(about))}); r.status != http.StatusForbidden {
		t.Errorf("deleting its own: %d %s", r.status, r.body)
	}
}

// TestShapeOfARebuild: what a rebuild left behind is a log and a difference,
// attached to what was rebuilt.
func TestShapeOfARebuild(t *testing.T) {
	s, one, _, _ := scene(t)
	who, _ := s.Principal("rebuilder", state.RoleRebuilder)
	difference := []byte("at byte 7")
	s.pushBlob(who, repo, rebuildLog)
	s.pushBlob(who, repo, difference)
	rebuild := func(about []byte) doc { return artifact(attest.ArtifactRebuild, octets, rebuildLog, about) }
	by512 := rebuild(one.patch)
	by512["layers"] = []doc{{"mediaType": octets, "digest": name512(rebuildLog), "size": len(rebuildLog)}}
	for name, c := range map[string]struct {
		doc  doc
		want int
	}{
		"of a patch":              {rebuild(one.patch), http.StatusCreated},
		"of a base":               {rebuild(one.base), http.StatusCreated},
		"with a difference":       {withLayers(rebuild(one.patch), rebuildLog, difference), http.StatusCreated},
		"of an environment":       {rebuild(one.environment), http.StatusForbidden},
		"of an image":             {rebuild(one.image), http.StatusForbidden},
		"of a rebuild":            {rebuild(rebuild(one.patch).bytes(t)), http.StatusForbidden},
		"of the unknown":          {rebuild([]byte("?")), http.StatusForbidden},
		"of nothing":              {rebuild(nil), http.StatusForbidden},
		"without a file":          {withLayers(rebuild(one.patch)), http.StatusBadRequest},
		"with what came out, too": {withLayers(rebuild(one.patch), rebuildLog, one.patchFile, difference), http.StatusCreated},
		"with four files":         {withLayers(rebuild(one.patch), rebuildLog, difference, one.patchFile, []byte("nowhere")), http.StatusBadRequest},
		"with an empty file":      {withLayers(rebuild(one.patch), empty), http.StatusBadRequest},
		"with a config":           {withConfig(rebuild(one.patch), rebuildLog), http.StatusBadRequest},
		"that names a sha512":     {by512, http.StatusBadRequest},
		"with what is not pushed": {withLayers(rebuild(one.patch), []byte("nowhere")), http.StatusBadRequest},
	} {
		for _, who := range []string{s.publisher, who} {
			raw := c.doc.bytes(t)
			if r := s.putManifest(who, repo, sum(raw), raw); r.status != c.want {
				t.Errorf("%s: %d %s, want %d", name, r.status, r.body, c.want)
			}
		}
	}
	for _, host := range []string{s.host, s.otherHost} {
		raw := rebuild(one.patch).bytes(t)
		for _, path := range []string{manifestPath(sum(raw)), blobPath(attest.DigestOf(rebuildLog)), blobPath(attest.DigestOf(difference))} {
			s.must(http.StatusForbidden, request{who: host, method: http.MethodGet, path: path, header: accept})
		}
	}
}

// TestRebuilderHasAShare: one rebuilder cannot use up the places of a subject,
// neither with rebuilds nor with carriers of a bundle that is no secret.
func TestRebuilderHasAShare(t *testing.T) {
	s, one, _, _ := scene(t)
	greedy, _ := s.Principal("greedy", state.RoleRebuilder)
	honest, _ := s.Principal("honest", state.RoleRebuilder)
	bundles, about := s.bundles(one)
	last := len(bundles) - 1
	s.attachBundle(bundles[last], about[last])
	s.pushBlob(greedy, repo, rebuildLog)
	noted := func(d doc, n int) []byte {
		d["annotations"] = map[string]string{"n": fmt.Sprint(n)}
		return d.bytes(t)
	}
	var first []byte
	for n := range 50 {
		raw := noted(artifact(attest.ArtifactRebuild, octets, rebuildLog, one.patch), n)
		if n%2 == 0 {
			raw = noted(artifact(attest.ArtifactBundle, attest.ArtifactBundle, bundles[last], about[last]), n)
		}
		if first == nil {
			first = raw
		}
		if r := s.putManifest(greedy, repo, sum(raw), raw); r.status != http.StatusCreated {
			t.Fatalf("the %dth: %d %s", n+1, r.status, r.body)
		}
	}
	records := s.count(ledger.KindManifest)
	for _, d := range []doc{artifact(attest.ArtifactRebuild, octets, rebuildLog, one.patch), artifact(attest.ArtifactBundle, attest.ArtifactBundle, bundles[last], about[last])} {
		raw := noted(d, 99)
		if r := s.putManifest(greedy, repo, sum(raw), raw); r.status != http.StatusForbidden || r.code() != "DENIED" {
			t.Errorf("the 51st: %d %s", r.status, r.body)
		}
	}
	if n := s.count(ledger.KindManifest); n != records {
		t.Errorf("%d records of what was refused", n-records)
	}
	if r := s.putManifest(greedy, repo, sum(first), first); r.status != http.StatusCreated {
		t.Errorf("one that is there already: %d %s", r.status, r.body)
	}
	another := noted(artifact(attest.ArtifactRebuild, octets, rebuildLog, one.patch), 100)
	if r := s.putManifest(honest, repo, sum(another), another); r.status != http.StatusCreated {
		t.Errorf("another rebuilder's: %d %s", r.status, r.body)
	}
	ofBase := artifact(attest.ArtifactRebuild, octets, rebuildLog, one.base).bytes(t)
	if r := s.putManifest(greedy, repo, sum(ofBase), ofBase); r.status != http.StatusCreated {
		t.Errorf("of another subject: %d %s", r.status, r.body)
	}
}
