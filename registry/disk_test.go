package registry_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/damage"
)

// TestFlippedByte: bytes that changed on the disk are an error and an alarm,
// never an answer, whether they were served before or not.
func TestFlippedByte(t *testing.T) {
	s, one, _, _ := scene(t)
	file, manifest := one.PatchFile.Digest, one.PatchManifest
	age := func(d attest.Digest) { // so that files are trusted by what the disk says of them
		t.Helper()
		long := time.Now().Add(-time.Hour)
		if err := os.Chtimes(s.file(d), long, long); err != nil {
			t.Fatal(err)
		}
	}
	age(file)
	for range 2 {
		s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: blobPath(file)})
	}
	s.flip(file)
	s.Blobs.Damage(manifest, append([]byte(" "), one.patch...))
	for _, q := range []request{
		way(http.MethodGet, blobPath(file)), way(http.MethodHead, blobPath(file)),
		way(http.MethodGet, blobPath(file), "Range", "bytes=0-1"), way(http.MethodGet, blobPath(file), "If-None-Match", `"`+string(file)+`"`),
		way(http.MethodGet, manifestPath("patch")), way(http.MethodGet, manifestPath(string(manifest))), way(http.MethodHead, manifestPath("patch")),
	} {
		for _, who := range []string{s.host, s.publisher} {
			q.who = who
			r := s.send(q)
			if r.status != http.StatusInternalServerError || q.method == http.MethodGet && (r.code() != "CORRUPT" || strings.Contains(string(r.body), s.root)) {
				t.Errorf("%s %s %v: %d %s, want 500 CORRUPT", q.method, q.path, q.header, r.status, r.body)
			}
			if !strings.Contains(r.header.Get("Warning"), "CORRUPT") {
				t.Errorf("%s %s: warning %q", q.method, q.path, r.header.Get("Warning"))
			}
		}
	}
	if l := s.logs.String(); !strings.Contains(l, "level=ERROR") || !strings.Contains(l, string(file)) || !strings.Contains(l, string(manifest)) {
		t.Errorf("the log does not tell:\n%s", l)
	}
	for _, o := range []damage.Object{{Kind: damage.Blob, Repository: repo, Digest: file}, {Kind: damage.Manifest, Repository: repo, Digest: manifest}} {
		if _, told := s.damaged.Load(o); !told {
			t.Errorf("nobody was told of %+v", o)
		}
	}
	if r := s.get(s.otherHost, blobPath(file)); r.status != http.StatusForbidden {
		t.Errorf("who may not have it learns that it is damaged: %d", r.status)
	}
	// Pushing the right bytes again repairs both.
	s.pushBlob(s.publisher, repo, one.patchFile)
	s.push(one.patch)
	if r := s.get(s.host, blobPath(file)); r.status != http.StatusOK || string(r.body) != string(one.patchFile) {
		t.Errorf("after the repair: %d %s", r.status, r.body)
	}
	if r := s.get(s.host, manifestPath("patch")); r.status != http.StatusOK || string(r.body) != string(one.patch) {
		t.Errorf("after the repair: %d %s", r.status, r.body)
	}
}

// TestOtherDamage: what is cut off, swapped or gone is damage too.
func TestOtherDamage(t *testing.T) {
	s, one, _, _ := scene(t)
	d := one.PatchFile.Digest
	for name, damage := range map[string]func() error{
		"truncated": func() error { return os.Truncate(s.file(d), 3) },
		"empty":     func() error { return os.Truncate(s.file(d), 0) },
		"swapped":   func() error { return os.WriteFile(s.file(d), one.baseFile, 0o600) },
		"longer":    func() error { return os.WriteFile(s.file(d), append([]byte("x"), one.patchFile...), 0o600) },
	} {
		s.must(http.StatusOK, request{who: s.host, method: http.MethodGet, path: blobPath(d)})
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if r := s.get(s.host, blobPath(d)); r.status != http.StatusInternalServerError || r.code() != "CORRUPT" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if err := os.WriteFile(s.file(d), one.patchFile, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(s.file(d)); err != nil {
		t.Fatal(err)
	}
	if r := s.get(s.host, blobPath(d)); r.status != http.StatusInternalServerError || r.code() != "CORRUPT" {
		t.Errorf("a blob that is gone: %d %s", r.status, r.body)
	}
	s.Blobs.Damage(one.PatchManifest, nil)
	if r := s.get(s.host, manifestPath("patch")); r.status != http.StatusInternalServerError {
		t.Errorf("a manifest that is gone: %d %s", r.status, r.body)
	}
}

// TestNoPathsLeak: what fails inside goes out without its details.
func TestNoPathsLeak(t *testing.T) {
	s := newServer(t)
	location := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"}).header.Get("Location")
	if err := os.RemoveAll(s.root + "/uploads"); err != nil {
		t.Fatal(err)
	}
	r := s.send(request{who: s.publisher, method: http.MethodPut, path: location + "&digest=" + sum(nil), header: http.Header{"Content-Type": {octets}}})
	if r.status != http.StatusInternalServerError || r.code() != "INTERNAL" || strings.Contains(string(r.body)+fmt.Sprint(r.header), s.root) {
		t.Errorf("%d %s %v", r.status, r.body, r.header)
	}
	if !strings.Contains(s.logs.String(), "unknown error") {
		t.Errorf("the log does not tell:\n%s", s.logs)
	}
}

// TestForwardedHeaders: nobody's Host header ends up in a Location.
func TestForwardedHeaders(t *testing.T) {
	s := newServer(t)
	r := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/", header: http.Header{
		"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"gopher"}, "Forwarded": {"host=evil.example"},
	}})
	if l := r.header.Get("Location"); strings.Contains(l, "evil") || !strings.HasPrefix(l, "/v2/") {
		t.Errorf("Location %q", l)
	}
}

// TestTagRace: while a tag flips between a patch that the host may have and one
// that it may not, a pull gets the first or nothing, and everything it gets was
// decided. The clients keep their connections, as real ones do, so that an
// answer could mix with the one before; first the quick way answers, then
// distribution.
func TestTagRace(t *testing.T) {
	flips := 10_000
	if testing.Short() {
		flips = 300
	}
	t.Run("quick", func(t *testing.T) { tagRace(t, flips, false) })
	t.Run("by distribution", func(t *testing.T) { tagRace(t, flips/10, true) })
}

const racers = 4

func tagRace(t *testing.T, flips int, slow bool) {
	s, one, two, _ := scene(t)
	s.oci.Slow(slow)
	var dials, asked atomic.Int64
	transport := &http.Transport{MaxIdleConnsPerHost: racers, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	s.client = transport
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range racers {
		q := way([]string{http.MethodGet, http.MethodHead}[i%2], manifestPath("patch"))
		q.who = s.host
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					asked.Add(1)
					checkRaced(t, s.send(q), q.method, one)
				}
			}
		})
	}
	for i := range flips {
		d := one.PatchManifest
		if i%2 == 0 {
			d = two.PatchManifest
		}
		s.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: "patch", Digest: d, By: s.publisher})
	}
	close(done)
	all.Wait()
	if n := dials.Load(); n > 2*racers {
		t.Errorf("%d requests of %d clients had %d connections", asked.Load(), racers, n)
	}
	for d, want := range map[attest.Digest]int{one.PatchManifest: http.StatusOK, two.PatchManifest: http.StatusForbidden} {
		s.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: "patch", Digest: d, By: s.publisher})
		s.must(want, request{who: s.host, method: http.MethodGet, path: manifestPath("patch"), header: accept})
	}
	if n := s.count(ledger.KindDecision); n != 2 {
		t.Errorf("%d decisions on record, want 2", n)
	}
}

// checkRaced wants the one patch, whole, or a refusal.
func checkRaced(t *testing.T, r reply, method string, one *world) {
	t.Helper()
	switch {
	case r.status == http.StatusForbidden && r.header.Get("Docker-Content-Digest") == "":
	case r.status != http.StatusOK || r.header.Get("Docker-Content-Digest") != string(one.PatchManifest):
		t.Errorf("the host got %d %v %s", r.status, r.header, r.body)
	case method == http.MethodGet && string(r.body) != string(one.patch):
		t.Errorf("the host got %s", r.body)
	}
}

// TestPanic: what goes wrong beyond reason is an error of the server.
func TestPanic(t *testing.T) {
	s := newServer(t)
	s.pushBlob(s.publisher, repo, empty)
	s.journal.panics = true
	raw := artifact("application/vnd.example", "application/vnd.oci.empty.v1+json", empty, nil).bytes(t)
	if r := s.putManifest(s.publisher, repo, "x", raw); r.status != http.StatusInternalServerError || r.code() != "INTERNAL" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if !strings.Contains(s.logs.String(), "panic while answering") {
		t.Errorf("the log does not tell:\n%s", s.logs)
	}
	s.journal.panics = false
	s.push(raw)
}

// TestQuietLog: what clients do wrong is no error of the server.
func TestQuietLog(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{manifestPath("nothing"), blobPath(attest.DigestOf(nil))} {
		s.must(http.StatusNotFound, request{who: s.publisher, method: http.MethodGet, path: path})
	}
	s.must(http.StatusNotFound, request{who: s.stranger, method: http.MethodGet, path: manifestPath("nothing")})
	if l := s.logs.String(); strings.Contains(l, "level=ERROR") {
		t.Errorf("the log:\n%s", l)
	}
}
