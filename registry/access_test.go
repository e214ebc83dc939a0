package registry_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
)

const otherRepo = "library/other"

// secondProduct adds a product with a publisher of its own.
func (s *server) secondProduct() (publisher string) {
	s.t.Helper()
	other := s.Authority.Product(otherRepo)
	p := s.TrustPolicy(s.Product, other)
	p.Version, p.Expires = 3, time.Now().UTC().AddDate(1, 0, 0).Truncate(time.Second)
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{s.Root.Public.Base64()}}
	s.Trust(p)
	s.Must(ledger.KindProduct, ledger.ProductAdded{Product: other.ID, Repository: otherRepo, By: s.Admin})
	publisher, _ = s.Principal("other publisher")
	s.Must(ledger.KindGrant, ledger.Granted{Principal: publisher, Product: other.ID, Role: state.RolePublisher, By: s.Admin})
	return publisher
}

// a scene is a published patch, a host that it fits and one that it does not.
func scene(t *testing.T) (s *server, one, two *world, neighbour string) {
	t.Helper()
	s = newServer(t)
	neighbour = s.secondProduct()
	one, two = s.publish("one"), s.publish("two")
	s.runs(s.host, s.hostKey, one)
	s.runs(s.otherHost, s.otherKey, two)
	for tag, raw := range map[string][]byte{"patch": one.patch, "base": one.base} {
		if r := s.putManifest(s.publisher, repo, tag, raw); r.status != http.StatusCreated {
			t.Fatalf("tagging: %d %s", r.status, r.body)
		}
	}
	return s, one, two, neighbour
}

func way(method, path string, header ...string) request {
	h := http.Header{"Accept": accept["Accept"]}
	for i := 0; i+1 < len(header); i += 2 {
		h[header[i]] = append(h[header[i]], header[i+1])
	}
	return request{method: method, path: path, header: h}
}

// checkReply asks what has to hold for every answer of a product.
func checkReply(t testing.TB, name string, r reply, w *world) {
	t.Helper()
	if r.header.Get("Cache-Control") != "private, no-store" || r.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: headers %v", name, r.header)
	}
	if r.status < 400 {
		return
	}
	for _, secret := range [][]byte{w.patchFile, w.baseFile, w.imageLayer, w.environmentFile} {
		if strings.Contains(string(r.body), string(secret)) {
			t.Errorf("%s: the refusal has the bytes %q", name, secret)
		}
	}
	for _, h := range []string{"Etag", "Docker-Content-Digest", "Content-Range", "Location"} {
		if r.status != http.StatusRequestedRangeNotSatisfiable && r.header.Get(h) != "" {
			t.Errorf("%s: the refusal has the header %s: %s", name, h, r.header.Get(h))
		}
	}
}

// TestDenialTells: a denial is one line with the reason, every field that
// differs with both values, the next step and the decision, and again in a
// header for those who see no body.
func TestDenialTells(t *testing.T) {
	s, one, _, _ := scene(t)
	got := s.get(s.otherHost, manifestPath(string(one.PatchManifest)))
	m := got.message()
	for _, want := range []string{"ENV_MISMATCH: ", "want flags/2 = -DNAME=two, got -DNAME=one", "BASE_MISMATCH", "; ", "(decision d-"} {
		if !strings.Contains(m, want) {
			t.Errorf("the denial does not tell %q: %s", want, m)
		}
	}
	if got.code() != "DENIED" || strings.ContainsAny(m, "\n\r") {
		t.Errorf("%s %q", got.code(), m)
	}
	head := s.send(request{who: s.otherHost, method: http.MethodHead, path: manifestPath(string(one.PatchManifest))})
	if warning := head.header.Get("Warning"); len(head.body) != 0 || !strings.HasPrefix(warning, `299 - "ENV_MISMATCH: `) || !strings.Contains(warning, "(decision d-") {
		t.Errorf("HEAD: %q, body %q", warning, head.body)
	}
	id := m[strings.Index(m, "d-") : strings.Index(m, "d-")+28]
	found := false
	for _, r := range s.House.Journal.Records() {
		if r.Kind == ledger.KindDecision && strings.Contains(string(r.Body), id) {
			found = true
		}
	}
	if !found {
		t.Errorf("decision %s is not on record", id)
	}
}

// TestOneDecisionPerRequest: a pull of manifest and blob is one decision, used
// again; lists record none.
func TestOneDecisionPerRequest(t *testing.T) {
	s, one, _, _ := scene(t)
	for _, path := range []string{"/v2/" + repo + "/tags/list", "/v2/" + repo + "/referrers/" + string(one.BaseManifest)} {
		s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: path})
		s.must(http.StatusOK, request{who: s.otherHost, method: http.MethodGet, path: path})
	}
	if n := s.count(ledger.KindDecision); n != 0 {
		t.Errorf("lists recorded %d decisions", n)
	}
	for _, d := range []attest.Digest{one.BaseManifest, one.EnvManifest, one.Builder} {
		if r := s.get(s.host, manifestPath(string(d))); r.status != http.StatusForbidden || !strings.HasPrefix(r.message(), "FORBIDDEN_ROLE: ") {
			t.Errorf("what no host gets: %d %s", r.status, r.body)
		}
	}
	if n := s.count(ledger.KindDecision); n != 0 {
		t.Errorf("%d decisions on record about what no host gets", n)
	}
	for _, q := range []request{
		way(http.MethodHead, manifestPath("patch")), way(http.MethodGet, manifestPath("patch")),
		way(http.MethodGet, manifestPath(string(one.PatchManifest))), way(http.MethodGet, blobPath(one.PatchFile.Digest)),
	} {
		q.who = s.host
		s.must(http.StatusOK, q)
	}
	if n := s.count(ledger.KindDecision); n != 1 {
		t.Errorf("%d decisions on record, want 1", n)
	}
	if err := s.gate.Close(); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.House.Journal.Records() {
		if r.Kind != ledger.KindUses {
			continue
		}
		u, err := ledger.Decode[ledger.DecisionUses](r)
		if err != nil || u.Uses != 3 {
			t.Errorf("uses on record: %+v, %v; 4 requests were one decision and 3 uses", u, err)
		}
	}
}

// TestNoRecordNoBytes: an allow that cannot be recorded is 503, a denial stays
// a denial.
func TestNoRecordNoBytes(t *testing.T) {
	s, one, _, _ := scene(t)
	s.journal.fail(ledger.KindDecision, false)
	for _, path := range []string{manifestPath("patch"), manifestPath(string(one.PatchManifest)), blobPath(one.PatchFile.Digest)} {
		if r := s.get(s.host, path); r.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s, want 503", path, r.status, r.body)
		}
		r := s.get(s.otherHost, path)
		if r.status != http.StatusForbidden || !strings.Contains(r.message(), "ENV_MISMATCH") || strings.Contains(r.message(), "(decision") {
			t.Errorf("%s: %d %s, want 403 without a decision", path, r.status, r.body)
		}
	}
	s.journal.fail("", false)
	s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: blobPath(one.PatchFile.Digest)})
}

// TestNotReady: until the state is whole nobody gets anything.
func TestNotReady(t *testing.T) {
	s, one, _, _ := scene(t)
	unready := state.New(s.Blobs, s.Site())
	for _, r := range s.House.Journal.Records() {
		if err := unready.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	s.State = unready
	s.start()
	for _, who := range []string{s.host, s.publisher, s.Admin} {
		for _, path := range []string{"/v2/", manifestPath("patch"), blobPath(one.PatchFile.Digest), "/v2/" + repo + "/tags/list"} {
			if r := s.get(who, path); r.status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d, want 503", path, r.status)
			}
		}
	}
}

// TestChangesTakeEffectAtOnce: whoever loses what let them in is out at the
// next request.
func TestChangesTakeEffectAtOnce(t *testing.T) {
	changes := map[string]func(s *server, w *world){
		"host suspended": func(s *server, _ *world) { s.SetState(s.host, state.Suspended) },
		"patch revoked":  func(s *server, w *world) { s.RevokeIt(attest.RevokeSubject, w.PatchManifest) },
		"key revoked":    func(s *server, w *world) { s.RevokeIt(attest.RevokeKey, s.Signer("patch").Key.ID()) },
		"builder revoked": func(s *server, w *world) {
			s.RevokeIt(attest.RevokeBuilder, w.Builder)
		},
		"patch deleted": func(s *server, w *world) {
			s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodDelete, path: manifestPath(string(w.PatchManifest))})
		},
		"host runs another base": func(s *server, _ *world) { s.runs(s.host, s.hostKey, s.publish("three")) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			w := s.publish("one")
			s.runs(s.host, s.hostKey, w)
			paths := []string{manifestPath(string(w.PatchManifest)), blobPath(w.PatchFile.Digest)}
			for _, p := range paths {
				s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: p, header: accept})
			}
			change(s, w)
			for _, p := range paths {
				if r := s.get(s.host, p); r.status != http.StatusForbidden && r.status != http.StatusNotFound {
					t.Errorf("%s: %d %s", p, r.status, r.body)
				}
			}
		})
	}
}
