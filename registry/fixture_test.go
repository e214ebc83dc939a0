package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/content/contenttest"
	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const (
	repo          = statetest.Repository
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	whoHeader     = "Test-Principal"
)

// A server is a registry behind a real HTTP server, on the state of a House.
type server struct {
	*statetest.House
	t    testing.TB
	look time.Duration // how often what is in memory is compared with its file
	root string
	url  string
	logs *logs
	gate *gate.Gate
	oci  *registry.Registry

	disk    *faultyDisk
	journal *faultyJournal
	damaged sync.Map          // the objects it told of
	client  http.RoundTripper // sends what the test asks

	publisher, auditor, host, otherHost, stranger string
	hostKey, otherKey                             statetest.Key
}

// newServer returns a server with one principal of each kind. The test says
// who asks in a header; package auth finds that out in a real server.
func newServer(t testing.TB) *server {
	t.Helper()
	h := statetest.New(t)
	s := &server{House: h, t: t, root: t.TempDir(), logs: new(logs), journal: &faultyJournal{inner: h.Journal}, client: http.DefaultTransport, look: time.Nanosecond}
	s.validNow()
	s.publisher, _ = h.Principal("publisher", state.RolePublisher)
	s.auditor, _ = h.Principal("auditor", state.RoleAuditor)
	s.stranger, _ = h.Principal("stranger")
	s.host, s.hostKey = h.Enrol("host")
	s.otherHost, s.otherKey = h.Enrol("other host")
	s.gate = gate.New(h.State, s.journal, nil)
	s.start()
	t.Cleanup(func() {
		if err := s.gate.Close(); err != nil {
			t.Errorf("closing the gate: %v", err)
		}
	})
	return s
}

// start opens the registry, as a process that starts does.
func (s *server) start() {
	s.t.Helper()
	disk, err := content.OpenDisk(s.root)
	if err != nil {
		s.t.Fatalf("opening the content: %v", err)
	}
	s.disk = &faultyDisk{Backend: disk}
	r, err := registry.New(registry.Config{
		Content: content.New(s.disk, &content.Options{LookEvery: s.look}), State: s.State, Gate: s.gate, Admit: admit.New(s.State), Store: s.Blobs,
		Journal: s.journal, Logger: slog.New(slog.NewTextHandler(s.logs, nil)),
		Damaged: func(o damage.Object) { s.damaged.Store(o, true) },
	})
	if err != nil {
		s.t.Fatalf("opening the registry: %v", err)
	}
	r.LookEvery(s.look)
	s.oci = r
	server := httptest.NewServer(s.asked(r.ServeHTTP))
	s.url = server.URL
	s.t.Cleanup(func() {
		server.Close()
		if err := r.Close(); err != nil {
			s.t.Errorf("closing the registry: %v", err)
		}
	})
}

// asked finds out who asks, and has serve answer.
func (s *server) asked(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if p, ok := s.State.Principal(q.Header.Get(whoHeader)); ok {
			q = q.WithContext(auth.With(q.Context(), p))
		}
		serve(w, q)
	})
}

// validNow has the server take a trust policy that is valid by the clock.
func (s *server) validNow() {
	p := s.TrustPolicy(s.Product)
	p.Version, p.Expires = 2, time.Now().UTC().AddDate(1, 0, 0).Truncate(time.Second)
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{s.Root.Public.Base64()}}
	s.Trust(p)
}

// logs keeps what was logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// faultyJournal fails for one kind of record.
type faultyJournal struct {
	inner *statetest.Journal
	mu    sync.Mutex
	fails ledger.Kind // "": none
	after bool        // having recorded it all the same

	panics bool
	pause  time.Duration // before each record
}

func (j *faultyJournal) fail(kind ledger.Kind, after bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fails, j.after = kind, after
}

func (j *faultyJournal) Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error) {
	j.mu.Lock()
	fails, after := j.fails == kind, j.after
	j.mu.Unlock()
	time.Sleep(j.pause) // a real one waits for the disk
	if j.panics {
		panic("the test says so")
	}
	if fails && !after {
		return ledger.Record{}, fmt.Errorf("the journal took no %s", kind)
	}
	r, err := j.inner.Append(ctx, kind, body)
	if fails {
		return ledger.Record{}, fmt.Errorf("the journal lost its answer about a %s", kind)
	}
	return r, err
}

// A request is what a test asks.
type request struct {
	who, method, path string
	header            http.Header
	body              []byte
}

// A reply is what it gets.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request as it is written: nothing is cleaned, followed or added.
func (s *server) send(q request) reply {
	s.t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	path, query, _ := strings.Cut(q.path, "?")
	u.Opaque, u.RawQuery = "//"+u.Host+path, query
	r, err := http.NewRequestWithContext(s.t.Context(), q.method, s.url, bytes.NewReader(q.body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL = u
	for k, v := range q.header {
		r.Header[k] = v
	}
	if q.who != "" {
		r.Header.Set(whoHeader, q.who)
	}
	resp, err := s.client.RoundTrip(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	return reply{resp.StatusCode, resp.Header, body}
}

func (s *server) get(who, path string) reply {
	s.t.Helper()
	return s.send(request{who: who, method: http.MethodGet, path: path, header: accept})
}

var accept = http.Header{"Accept": {mediaManifest + ", " + mediaIndex}}

// code and message are those of an error.
func (r reply) code() string    { return r.err().Code }
func (r reply) message() string { return r.err().Message }

type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (r reply) err() wireError {
	var body struct {
		Errors []wireError `json:"errors"`
	}
	if json.Unmarshal(r.body, &body) != nil || len(body.Errors) != 1 {
		return wireError{}
	}
	return body.Errors[0]
}

// must sends a request that has to be answered with status.
func (s *server) must(status int, q request) reply {
	s.t.Helper()
	r := s.send(q)
	if r.status != status {
		s.t.Fatalf("%s %s: %d %s, want %d", q.method, q.path, r.status, r.body, status)
	}
	return r
}

func (s *server) pushBlob(who, name string, b []byte) attest.Digest {
	s.t.Helper()
	d := attest.DigestOf(b)
	begun := s.must(http.StatusAccepted, request{who: who, method: http.MethodPost, path: "/v2/" + name + "/blobs/uploads/"})
	s.must(http.StatusCreated, request{
		who: who, method: http.MethodPut, path: begun.header.Get("Location") + "&digest=" + string(d), body: b,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
	return d
}

func (s *server) putManifest(who, name, reference string, raw []byte) reply {
	s.t.Helper()
	return s.send(request{
		who: who, method: http.MethodPut, path: "/v2/" + name + "/manifests/" + reference, body: raw,
		header: http.Header{"Content-Type": {mediaManifest}},
	})
}

// push puts a manifest by its digest and has it succeed.
func (s *server) push(raw []byte) attest.Digest {
	s.t.Helper()
	d := attest.DigestOf(raw)
	if r := s.putManifest(s.publisher, repo, string(d), raw); r.status != http.StatusCreated {
		s.t.Fatalf("putting a manifest: %d %s\n%s", r.status, r.body, raw)
	}
	return d
}

// doc is a JSON document in the making.
type doc map[string]any

func (d doc) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func descriptor(mediaType string, b []byte) doc {
	return doc{"mediaType": mediaType, "digest": attest.DigestOf(b), "size": len(b)}
}

var empty = []byte("{}")

// artifact returns the manifest of an artifact with one file.
func artifact(artifactType, layerType string, file []byte, subject []byte) doc {
	m := doc{
		"schemaVersion": 2, "mediaType": mediaManifest, "artifactType": artifactType,
		"config": descriptor("application/vnd.oci.empty.v1+json", empty),
		"layers": []doc{descriptor(layerType, file)},
	}
	if subject != nil {
		m["subject"] = descriptor(mediaManifest, subject)
	}
	return m
}

const octets = "application/octet-stream"

// A world is a patch with everything it stands on, as bytes to push.
type world struct {
	*verifytest.World
	image, environment, base, patch []byte // manifests
	environmentFile                 []byte
	imageLayer, baseFile, patchFile []byte
}

// world makes the bytes of a patch that fits. Worlds of different names have
// different environments.
func (s *server) world(name string) *world {
	s.t.Helper()
	w := &world{World: s.Authority.World(s.Product, name)}
	w.imageLayer, w.baseFile, w.patchFile = []byte("tools of "+name), []byte("library of "+name), []byte("patch of "+name)
	w.image = artifact("", octets, w.imageLayer, nil).bytes(s.t)
	w.Builder = attest.DigestOf(w.image)
	w.World.Environment.BuilderImage = w.Builder
	w.BaseFile = attest.File{Digest: attest.DigestOf(w.baseFile), Size: int64(len(w.baseFile))}
	w.PatchFile = attest.File{Digest: attest.DigestOf(w.patchFile), Size: int64(len(w.patchFile))}
	w.Base.File, w.Patch.File = w.BaseFile, w.PatchFile
	w.Base.Measurements[0].Digest = w.Base.File.Digest
	w.Record.Running[0].Measurement = w.Base.Measurements[0]
	w.Record.Time = time.Now().UTC().Truncate(time.Second)
	w.Patch.Unsigned, w.Patch.BaseFile = w.Patch.File.Digest, w.Base.File.Digest
	w.Link(s.t)
	var err error
	if w.environmentFile, err = w.World.Environment.Canonical(); err != nil {
		s.t.Fatal(err)
	}
	w.attach()
	return w
}

// attach makes the manifests, each attached to the one before.
func (w *world) attach() {
	environment := doc{
		"schemaVersion": 2, "mediaType": mediaManifest, "artifactType": attest.ArtifactEnv,
		"config": descriptor(attest.MediaEnvironment, w.environmentFile), "subject": descriptor(mediaManifest, w.image),
		"layers": []doc{descriptor("application/vnd.oci.empty.v1+json", empty)},
	}
	encode := func(d doc) []byte {
		b, err := json.Marshal(d)
		if err != nil {
			panic(err) // maps of strings and numbers
		}
		return b
	}
	w.environment = encode(environment)
	w.base = encode(artifact(attest.ArtifactBase, octets, w.baseFile, w.environment))
	w.patch = encode(artifact(attest.ArtifactPatch, octets, w.patchFile, w.base))
	w.EnvManifest, w.BaseManifest, w.PatchManifest = attest.DigestOf(w.environment), attest.DigestOf(w.base), attest.DigestOf(w.patch)
	w.Patch.Base = w.BaseManifest
}

// pushArtifacts pushes everything but the bundles.
func (s *server) pushArtifacts(w *world) {
	s.t.Helper()
	for _, b := range [][]byte{empty, w.imageLayer, w.environmentFile, w.baseFile, w.patchFile} {
		s.pushBlob(s.publisher, repo, b)
	}
	for _, m := range [][]byte{w.image, w.environment, w.base, w.patch} {
		s.push(m)
	}
}

// carrier returns the manifest that carries a bundle, as cosign writes it.
func carrier(t testing.TB, bundle, subject []byte) []byte {
	t.Helper()
	return artifact(attest.ArtifactBundle, attest.ArtifactBundle, bundle, subject).bytes(t)
}

// bundles returns a bundle for each statement of w, in the order they can be
// admitted in, with the manifest each is about.
func (s *server) bundles(w *world) (bundles, about [][]byte) {
	s.t.Helper()
	manifests := map[attest.Digest][]byte{w.Builder: w.image, w.EnvManifest: w.environment, w.BaseManifest: w.base, w.PatchManifest: w.patch}
	said := w.Said()
	for i := len(said) - 1; i >= 0; i-- {
		bundles = append(bundles, s.Say(said[i]))
		about = append(about, manifests[said[i].About.Manifest])
	}
	return bundles, about
}

// attachBundle pushes a bundle about a manifest, which has to succeed.
func (s *server) attachBundle(bundle, about []byte) attest.Digest {
	s.t.Helper()
	s.pushBlob(s.publisher, repo, bundle)
	return s.push(carrier(s.t, bundle, about))
}

// publish publishes a patch the whole way, through the front door.
func (s *server) publish(name string) *world {
	s.t.Helper()
	w := s.world(name)
	s.pushArtifacts(w)
	bundles, about := s.bundles(w)
	for i := range bundles {
		s.attachBundle(bundles[i], about[i])
	}
	return w
}

// runs has a host report that it runs the base of w.
func (s *server) runs(host string, key statetest.Key, w *world) {
	s.t.Helper()
	h, ok := s.State.Host(host)
	if !ok {
		s.t.Fatalf("no host %s", host)
	}
	w.Record.Time = time.Now().UTC().Truncate(time.Second)
	s.Record(host, key, h.Sequence()+1, w.World)
}

// file returns where the bytes of a digest are on the disk.
func (s *server) file(d attest.Digest) string {
	return contenttest.File(s.root, d)
}

// flip changes one byte on the disk.
func (s *server) flip(d attest.Digest) {
	s.t.Helper()
	b, err := os.ReadFile(s.file(d))
	if err != nil {
		s.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(s.file(d), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func sum(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// count returns how many records of a kind there are.
func (s *server) count(kind ledger.Kind) int {
	n := 0
	for _, r := range s.House.Journal.Records() {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// blobPath and manifestPath are paths in the House's repository.
func blobPath(d attest.Digest) string { return "/v2/" + repo + "/blobs/" + string(d) }

func manifestPath(ref string) string { return "/v2/" + repo + "/manifests/" + ref }
