package registry_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/spelling"
	"github.com/patchfit/patchfit/registry/state"
)

// The columns of the matrix: who asks.
const (
	nobody    = iota
	stranger  // no role anywhere
	neighbour // publisher of another product
	misfit    // a host that runs another base
	suspended // a host that would fit
	fitting   // the host that the patch is for
	rebuilder
	auditor
	publisher
	admin
	columns
)

var columnNames = [columns]string{"nobody", "stranger", "neighbour", "misfit", "suspended host", "host", "rebuilder", "auditor", "publisher", "admin"}

// An expected is the status for each column.
type expected [columns]int

// among returns the answer ok for these columns, 401 for nobody, 403 for those
// of inside, who have a role in the product, and 404 for all others.
func among(inside []int, ok int, who ...int) expected {
	var e expected
	for c := range e {
		switch {
		case slices.Contains(who, c):
			e[c] = ok
		case c == nobody:
			e[c] = http.StatusUnauthorized
		case slices.Contains(inside, c):
			e[c] = http.StatusForbidden
		default:
			e[c] = http.StatusNotFound
		}
	}
	return e
}

func insiders() []int { return []int{misfit, fitting, rebuilder, auditor, publisher, admin} }

func known() []int { return append(insiders(), stranger, neighbour, suspended) }

func everybody(ok int) expected { return among(nil, ok, known()...) }

// only is for what is refused, and does not go missing, to all others.
func only(ok int, who ...int) expected { return among(known(), ok, who...) }

// What each kind of thing answers, from the fewest who may to the most.
func readers(ok int) expected { return among(insiders(), ok, rebuilder, auditor, publisher, admin) }
func gated(ok int) expected {
	return among(insiders(), ok, fitting, rebuilder, auditor, publisher, admin)
}
func members(ok int) expected  { return among(insiders(), ok, insiders()...) }
func pushers(ok int) expected  { return among(insiders(), ok, rebuilder, publisher, admin) }
func removers(ok int) expected { return among(insiders(), ok, publisher, admin) }
func next(ok int) expected     { return among(nil, ok, neighbour, admin) } // in the other product

// A row is one way to ask with its answers.
type row struct {
	name string
	request
	want expected
}

// A matrix is a scene in which everything was tried before anybody asks.
type matrix struct {
	*server
	one, two, gone *world
	who            [columns]string
	loose          attest.Digest // a blob that nothing references
	wrapped        [][]byte      // manifests that were refused
	index          attest.Digest // of the patch, and of an image with its file
	image          attest.Digest
	bundle, about  []byte // admitted
	rebuild        []byte // a manifest, attached to the patch
	upload         string // a session of somebody else's
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	s, one, two, other := scene(t)
	m := &matrix{server: s, one: one, two: two, gone: s.publish("gone")}
	m.who = [columns]string{nobody: "", stranger: s.stranger, neighbour: other, misfit: s.otherHost, fitting: s.host, auditor: s.auditor, publisher: s.publisher, admin: s.Admin}
	m.who[rebuilder], _ = s.Principal("rebuilder", state.RoleRebuilder)
	var key = s.hostKey
	m.who[suspended], key = s.Enrol("suspended host")
	s.runs(m.who[suspended], key, one)
	s.SetState(m.who[suspended], state.Suspended)
	bundles, about := s.bundles(one)
	m.bundle, m.about = bundles[len(bundles)-1], about[len(about)-1]
	s.attachBundle(m.bundle, m.about)

	m.loose = s.pushBlob(s.publisher, repo, []byte("nothing references this"))
	s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath(string(m.gone.PatchManifest))})
	thief, _ := s.Principal("another publisher", state.RolePublisher)
	m.upload = s.must(http.StatusAccepted, request{who: thief, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"}).header.Get("Location")
	m.pushBlob(m.who[rebuilder], repo, rebuildLog)
	m.rebuild = artifact(attest.ArtifactRebuild, octets, rebuildLog, one.patch).bytes(t)
	if r := m.putManifest(m.who[rebuilder], repo, sum(m.rebuild), m.rebuild); r.status != http.StatusCreated {
		t.Fatalf("attaching a rebuild: %d %s", r.status, r.body)
	}
	m.names()
	m.copies()
	m.launder()
	return m
}

// rebuildLog is what a rebuilder has to tell.
var rebuildLog = []byte("rebuilt, the same")

// names pushes patch and base under their sha512, too.
func (m *matrix) names() {
	m.t.Helper()
	for _, b := range [][]byte{m.one.patchFile, m.one.baseFile} {
		begun := m.must(http.StatusAccepted, request{who: m.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
		m.must(http.StatusCreated, request{
			who: m.publisher, method: http.MethodPut, path: begun.header.Get("Location") + "&digest=" + name512(b), body: b,
			header: http.Header{"Content-Type": {octets}},
		})
	}
	for _, raw := range [][]byte{m.one.patch, m.one.base} {
		if r := m.putManifest(m.publisher, repo, name512(raw), raw); r.status != http.StatusCreated {
			m.t.Fatalf("by its sha512: %d %s", r.status, r.body)
		}
	}
}

// copies pushes the second patch, and all it stands on, to the other product.
func (m *matrix) copies() {
	m.t.Helper()
	for _, b := range [][]byte{empty, m.two.imageLayer, m.two.environmentFile, m.two.baseFile, m.two.patchFile} {
		m.pushBlob(m.who[neighbour], otherRepo, b)
	}
	for _, raw := range [][]byte{m.two.image, m.two.environment, m.two.base, m.two.patch} {
		if r := m.putManifest(m.who[neighbour], otherRepo, sum(raw), raw); r.status != http.StatusCreated {
			m.t.Fatalf("to another product: %d %s", r.status, r.body)
		}
	}
}

// launder pushes manifests that name the first patch's file beside it: some are
// taken, and open nothing; what calls it a bundle is refused.
func (m *matrix) launder() {
	m.t.Helper()
	file := m.one.patchFile
	m.image = m.push(artifact("application/vnd.example", octets, file, m.one.patch).bytes(m.t))
	raw := doc{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []doc{descriptor(mediaManifest, m.one.patch)}}.bytes(m.t)
	m.index = attest.DigestOf(raw)
	m.must(http.StatusCreated, request{
		who: m.publisher, method: http.MethodPut, path: manifestPath("index"), body: raw, header: http.Header{"Content-Type": {mediaIndex}},
	})
	for _, bad := range []doc{
		artifact(attest.ArtifactBundle, attest.ArtifactBundle, file, m.one.patch),
		artifact("application/vnd.dev.sigstore.bundle+json;version=0.2", octets, file, m.one.patch),
		artifact("application/vnd.example", attest.ArtifactBundle, file, m.one.patch),
		withLayers(artifact(attest.ArtifactBundle, attest.ArtifactBundle, m.bundle, m.about), m.bundle, file),
		withConfig(artifact(attest.ArtifactBundle, attest.ArtifactBundle, m.bundle, m.about), file),
		withConfig(artifact(attest.ArtifactPatch, octets, m.two.patchFile, m.two.base), file),
	} {
		raw := bad.bytes(m.t)
		if r := m.putManifest(m.publisher, repo, sum(raw), raw); r.status != http.StatusBadRequest && r.status != http.StatusForbidden {
			m.t.Errorf("wrapped as a bundle: %d %s\n%s", r.status, r.body, raw)
		}
		m.wrapped = append(m.wrapped, raw)
	}
}

// forbidden returns the bytes that no answer to a column has, whatever is asked.
func (m *matrix) forbidden(column int) [][]byte {
	never := func(w *world) [][]byte {
		return [][]byte{w.baseFile, w.base, w.imageLayer, w.image, w.environmentFile, w.environment, rebuildLog, m.rebuild}
	}
	all := func(w *world) [][]byte { return append(never(w), w.patchFile, w.patch) }
	switch column {
	case nobody, stranger, suspended:
		return slices.Concat(all(m.one), all(m.two), all(m.gone))
	case neighbour: // has the second itself
		return slices.Concat(all(m.one), all(m.gone))
	case misfit:
		return slices.Concat(all(m.one), never(m.two), all(m.gone))
	case fitting:
		return slices.Concat(never(m.one), all(m.two), all(m.gone))
	}
	return nil
}

// rows are all there are.
func (m *matrix) rows() []row {
	rows := slices.Concat(m.patches(), m.crooked(), m.neverForHosts(), m.forMembers(), m.missing(), m.changes())
	return append(rows, m.unanswered(rows)...)
}

// TestNoWayAround asks in every way for everything as everybody, each time the
// quick way and by distribution. TestEmbargo does it again under embargoes.
func TestNoWayAround(t *testing.T) {
	m := newMatrix(t)
	rows := m.rows()
	for _, r := range rows {
		for c := range columns {
			m.ask(r, c)
		}
	}
	m.everyRoute(rows)
	begun := m.upload
	for _, owner := range m.State.Principals() {
		if owner.Name == "another publisher" {
			if r := m.send(request{who: owner.ID, method: http.MethodGet, path: begun}); r.status != http.StatusNoContent || r.header.Get("Range") != "0-0" {
				t.Errorf("the upload others wanted: %d %v", r.status, r.header)
			}
		}
	}
}

// ask asks twice and holds the answers to each other and to the row.
func (m *matrix) ask(r row, column int) {
	m.t.Helper()
	q := r.request
	q.who = m.who[column]
	name := fmt.Sprintf("%s: %s: %s %s %v", columnNames[column], r.name, q.method, q.path, q.header)
	m.oci.Slow(true)
	slow := m.send(q)
	m.oci.Slow(false)
	quick := m.send(q)
	if slow.status != quick.status {
		m.t.Errorf("%s: %d by distribution, %d the quick way", name, slow.status, quick.status)
	}
	if strings.EqualFold(q.method, http.MethodGet) || q.method == http.MethodHead {
		if d := cmp.Diff(comparable(slow), comparable(quick)); d != "" && r.want[column] != http.StatusPartialContent {
			m.t.Errorf("%s (-slow +quick):\n%s", name, d)
		}
	}
	for _, got := range []reply{slow, quick} {
		if got.status != r.want[column] {
			m.t.Errorf("%s: %d %s, want %d", name, got.status, got.body, r.want[column])
		}
		for _, secret := range m.forbidden(column) {
			if bytes.Contains(got.body, secret) {
				m.t.Errorf("%s: the answer has the bytes %q", name, secret)
			}
		}
		checkReply(m.t, name, got, m.one)
	}
}

// as has the ways of a list answer as want says of the way's own status.
func as(prefix string, ways []spelling.Way, want func(status int) expected) []row {
	var rows []row
	for _, w := range ways {
		rows = append(rows, row{prefix + w.Name, request{method: w.Method, path: w.Target, header: w.Header, body: []byte(w.Body)}, want(w.Status)})
	}
	return rows
}

func subject(name string, manifest, file attest.Digest) spelling.Subject {
	return spelling.Subject{Repository: name, Manifest: string(manifest), File: string(file), Elsewhere: otherRepo}
}

// unanswered are the methods that a route does not have, on a path of each.
func (m *matrix) unanswered(rows []row) []row {
	paths := make(map[string]string)
	for _, r := range rows {
		paths[m.oci.RouteOf(r.path)] = r.path
	}
	var more []row
	for route, has := range registry.Methods() {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "COPY", "get"} {
			if !slices.Contains(has, method) {
				more = append(more, row{"no method of " + route, request{method: method, path: paths[route]}, everybody(http.StatusMethodNotAllowed)})
			}
		}
	}
	return more
}

// everyRoute fails where a route answers a method that no row asks.
func (m *matrix) everyRoute(rows []row) {
	m.t.Helper()
	asked := make(map[string]bool)
	for _, r := range rows {
		asked[m.oci.RouteOf(r.path)+" "+r.method] = true
	}
	for route, methods := range registry.Methods() {
		for _, method := range methods {
			if !asked[route+" "+method] {
				m.t.Errorf("no row asks %s of route %s: give it one", method, route)
			}
		}
	}
}
