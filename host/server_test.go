package host

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/assertion"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const repository = "lib/greet"

// A server answers an agent as patchfitd does: the same wire types, real
// assertions, real enrolment proofs, real host records, real evidence. A test
// makes it lie by changing what it holds.
type server struct {
	t    *testing.T
	http *httptest.Server
	dir  string // for the files of the host

	authority *verifytest.Authority
	product   attest.Product
	world     *verifytest.World
	other     *verifytest.World // of a second build, where there is one
	root      *verifytest.Signer

	policy      []byte   // envelope
	turns       [][]byte // policies whose roots are others than those before, oldest first
	manifest    []byte
	patch       []byte
	rebuilds    [][]byte          // bundles about rebuilds
	bundles     map[string][]byte // by the name of what is said
	revocations [][]byte
	channels    []api.ServedChannel
	count       int64 // of revocations; -1: as many as there are

	token    api.EnrolmentToken
	used     bool
	host     string
	key      *attest.PublicKey
	sequence int64
	nonce    string
	records  []*attest.HostRecord

	// before is called with each request's path before it is answered; it
	// reports whether it answered itself.
	before func(w http.ResponseWriter, path string) bool
}

// newServer returns a server that tells the truth about a base that lies at
// basePath and a patch that fits it.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), authority: verifytest.New(t), bundles: map[string][]byte{}, count: -1}
	s.authority.Now = time.Now().UTC().Truncate(time.Second)
	s.product = s.authority.Product(repository)
	s.root = s.authority.Stranger()
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up on a wrong key
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
	s.patch = []byte("a live patch")
	s.writeBase("first build")
	s.world = s.worldOf("truth")
	s.sayAll()
	s.signPolicy(1, s.root)
	s.token = api.NewEnrolmentToken(s.http.URL, s.tlsKey(), s.roots())
	return s
}

func (s *server) basePath() string { return filepath.Join(s.dir, "libgreet.so.1") }

func (s *server) writeBase(content string) {
	s.t.Helper()
	if err := os.WriteFile(s.basePath(), elfFile(s.t, content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// worldOf says everything about the base that is on disk now and the patch.
func (s *server) worldOf(name string) *verifytest.World {
	s.t.Helper()
	w := s.baseOf(name)
	w.Patch.BaseFile = w.BaseFile.Digest
	w.Patch.File = attest.File{Digest: attest.DigestOf(s.patch), Size: int64(len(s.patch))}
	w.Patch.Unsigned, w.PatchFile = w.Patch.File.Digest, w.Patch.File
	s.manifest = patchManifest(s.t, w)
	w.PatchManifest = attest.DigestOf(s.manifest)
	w.Link(s.t)
	return w
}

// baseOf says everything about the base that is on disk now.
func (s *server) baseOf(name string) *verifytest.World {
	s.t.Helper()
	w := s.authority.World(s.product, name)
	m, err := Measure(s.basePath())
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := os.Stat(s.basePath())
	if err != nil {
		s.t.Fatal(err)
	}
	if w.Environment.Target, err = target(); err != nil {
		s.t.Fatal(err)
	}
	w.Base.Target = w.Environment.Target
	w.Base.File = attest.File{Digest: m.Digest, Size: info.Size()}
	w.Base.Measurements = []attest.Measurement{m}
	w.BaseFile = w.Base.File
	w.Link(s.t)
	return w
}

func patchManifest(t *testing.T, w *verifytest.World) []byte {
	t.Helper()
	type object = map[string]any
	b, err := strictjson.Canonical(object{
		"schemaVersion": 2, "mediaType": mediaManifest, "artifactType": attest.ArtifactPatch,
		"config":  object{"mediaType": "application/vnd.oci.empty.v1+json", "digest": attest.DigestOf([]byte("{}")), "size": 2},
		"layers":  []object{{"mediaType": "application/octet-stream", "digest": w.Patch.File.Digest, "size": w.Patch.File.Size}},
		"subject": object{"mediaType": mediaManifest, "digest": w.BaseManifest, "size": 500},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *server) sayAll() {
	for _, said := range s.world.Said() {
		s.bundles[said.Name] = s.authority.Say(said)
	}
}

// said is one thing the world says.
func (s *server) said(name string) verifytest.Said {
	s.t.Helper()
	i := slices.IndexFunc(s.world.Said(), func(x verifytest.Said) bool { return x.Name == name })
	if i < 0 {
		s.t.Fatalf("the world does not say %s", name)
	}
	return s.world.Said()[i]
}

// signPolicy makes the trust policy of that version, signed by roots, of which
// all are needed and the first is the policy's own.
func (s *server) signPolicy(version int64, roots ...*verifytest.Signer) {
	s.policyOf(func(p *attest.TrustPolicy) { p.Version = version }, roots...)
}

func (s *server) policyOf(edit func(p *attest.TrustPolicy), roots ...*verifytest.Signer) {
	s.t.Helper()
	p := s.authority.TrustPolicy(s.product)
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{roots[0].Key.Base64()}}
	p.Expires = s.authority.Now.AddDate(1, 0, 0)
	edit(p)
	b, err := strictjson.Canonical(p)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.policy, err = attest.SignEnvelope(attest.PolicyPayload, b, roots[0]); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range roots[1:] {
		if s.policy, err = attest.AddSignature(s.policy, r); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) roots() attest.Digest {
	s.t.Helper()
	d, err := attest.Roots{Threshold: 1, Keys: []string{s.root.Key.Base64()}}.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *server) tlsKey() string {
	c, err := x509.ParseCertificate(s.http.TLS.Certificates[0].Certificate[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return attest.DigestOf(c.RawSubjectPublicKeyInfo).Hex()
}

// ServeHTTP answers one request. The agent sends one at a time.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.before != nil && s.before(w, r.URL.Path) {
		return
	}
	if !s.public(r.URL.Path) && r.Header.Get("Authorization") != "Bearer access" {
		api.WriteError(w, api.Errorf(http.StatusUnauthorized, api.CodeUnauthorized, "who are you?"))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	hosts := "/v1/hosts/" + s.host
	switch path := r.URL.Path; path {
	case "/token":
		s.giveToken(w, body)
	case "/v1/trust-policy":
		w.Write(s.policyAfter(r.URL.Query().Get("after")))
	case "/v1/enrol":
		s.enrol(w, body)
	case hosts:
		v := api.Host{SchemaVersion: 1, Host: s.host, Products: []string{s.product.ID}}
		if n := len(s.records); n > 0 {
			v.Bases = s.resolve(s.records[n-1])
		}
		api.WriteJSON(w, 200, v)
	case hosts + "/challenge":
		s.nonce = uuid.NewString()
		api.WriteJSON(w, 200, api.Challenge{SchemaVersion: 1, Nonce: s.nonce, Sequence: s.sequence + 1, Expires: time.Now().UTC(), Time: time.Now().UTC()})
	case hosts + "/records":
		s.record(w, body)
	case "/v1/evidence":
		s.tellEvidence(w, attest.Digest(r.URL.Query().Get("digest")))
	case "/v1/revocations":
		count := s.count
		if count < 0 {
			count = int64(len(s.revocations))
		}
		api.WriteJSON(w, 200, api.Revocations{SchemaVersion: 1, Product: s.product.ID, Count: count, Bundles: s.revocations})
	case "/v1/channels":
		api.WriteJSON(w, 200, api.Channels{SchemaVersion: 1, Product: s.product.ID, Channels: append([]api.ServedChannel{}, s.channels...)})
	case "/v1/why":
		api.WriteJSON(w, 200, api.Why{SchemaVersion: 1, Host: s.host, Digest: attest.DigestOf(s.manifest), Allow: true, Policy: attest.DigestOf(s.policy), Checks: []api.Check{}})
	case "/v2/" + repository + "/manifests/v1", "/v2/" + repository + "/manifests/" + string(s.world.PatchManifest):
		w.Write(s.manifest)
	case "/v2/" + repository + "/blobs/" + string(s.world.Patch.File.Digest):
		w.Write(s.patch)
	default:
		api.WriteError(w, api.Errorf(http.StatusNotFound, api.CodeNotFound, "no %s", path))
	}
}

// policyAfter is the change of roots after a version, else the newest policy.
func (s *server) policyAfter(version string) []byte {
	after, err := strconv.ParseInt(version, 10, 64)
	for _, turn := range s.turns {
		e, _ := attest.ParseEnvelope(turn, attest.PolicyPayload)
		if p, _ := attest.ParseTrustPolicy(e.Payload); err == nil && p.Version > after {
			return turn
		}
	}
	return s.policy
}

func (s *server) public(path string) bool {
	return path == "/token" || path == "/v1/trust-policy" || path == "/v1/enrol"
}

func (s *server) tellEvidence(w http.ResponseWriter, d attest.Digest) {
	switch {
	case d == attest.DigestOf(s.manifest):
		api.WriteJSON(w, 200, api.Evidence{SchemaVersion: 1, Bundles: s.evidence()})
	case s.other != nil && d == s.other.BaseManifest:
		var all [][]byte
		for _, said := range s.other.Said()[2:] {
			all = append(all, s.authority.Say(said))
		}
		api.WriteJSON(w, 200, api.Evidence{SchemaVersion: 1, Bundles: all})
	default:
		api.WriteError(w, api.Errorf(http.StatusNotFound, api.CodeNotFound, "no %s", d))
	}
}

func (s *server) evidence() [][]byte {
	var all [][]byte
	for _, name := range []string{"builder provenance", "environment", "base", "base provenance", "patch provenance", "livepatch", "extra"} {
		if b := s.bundles[name]; b != nil {
			all = append(all, b)
		}
	}
	return append(all, s.rebuilds...)
}

func (s *server) giveToken(w http.ResponseWriter, body []byte) {
	form := strings.Split(string(body), "&")
	i := slices.IndexFunc(form, func(f string) bool { return strings.HasPrefix(f, "refresh_token=") })
	p, err := assertion.Parse(strings.TrimPrefix(form[i], "refresh_token="))
	if err == nil {
		_, err = p.Verify(s.key, s.http.URL, time.Now())
	}
	if err != nil {
		s.t.Errorf("the agent's assertion is refused: %v", err)
		api.WriteOCIError(w, api.Errorf(http.StatusUnauthorized, api.CodeUnauthorized, "%v", err))
		return
	}
	api.WriteJSON(w, 200, api.TokenAnswer{Token: "access", AccessToken: "access", ExpiresIn: 120, IssuedAt: time.Now().UTC()})
}

func (s *server) enrol(w http.ResponseWriter, body []byte) {
	var e api.Enrol
	if err := json.Unmarshal(body, &e); err != nil {
		s.t.Error(err)
	}
	key, err := attest.ParsePublicKey(e.Key)
	if err != nil || e.Token != s.token.String() || !api.VerifyEnrolmentProof(key, s.token.ID, e.Proof) {
		s.t.Errorf("the enrolment is not right: %v", err)
	}
	if s.used {
		api.WriteError(w, api.Errorf(http.StatusForbidden, api.CodeNoToken, "this token was used"))
		return
	}
	s.used, s.host, s.key = true, uuid.NewString(), key
	api.WriteJSON(w, 200, api.Enrolled{SchemaVersion: 1, Host: s.host, Products: []string{s.product.ID}})
}

func (s *server) record(w http.ResponseWriter, body []byte) {
	r, err := verify.HostRecord(body, s.key, verify.Host{ID: s.host, After: s.sequence, Nonce: s.nonce, Now: time.Now()})
	if err != nil {
		api.WriteError(w, api.Errorf(http.StatusBadRequest, string(err.(*verify.Refusal).Reason), "%v", err))
		return
	}
	s.sequence, s.records = r.Sequence, append(s.records, r)
	api.WriteJSON(w, 200, api.Recorded{SchemaVersion: 1, Sequence: r.Sequence, Received: time.Now().UTC(), Bases: s.resolve(r)})
}

func (s *server) resolve(r *attest.HostRecord) []api.Base {
	var all []api.Base
	for _, w := range []*verifytest.World{s.world, s.other} {
		if w != nil && r.Running[0].Measurement == w.Base.Measurements[0] {
			all = append(all, api.Base{Product: w.Product, Repository: repository, Manifest: w.BaseManifest, File: w.BaseFile.Digest})
		}
	}
	return all
}

// elfFile returns a small ELF file for this machine: a header, one note
// segment with a build-id made of content, and content.
func elfFile(t *testing.T, content string) []byte {
	t.Helper()
	id := attest.DigestOf([]byte(content)).Sum()[:20]
	note := slices.Concat(le32(4), le32(uint32(len(id))), le32(ntGNUBuildID), []byte("GNU\x00"), id)
	return elfWith(t, content, 4, note)
}

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
func le64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// elfWith returns a little-endian ELF64 file whose note segments, aligned to
// align, are notes.
func elfWith(t *testing.T, content string, align uint64, notes ...[]byte) []byte {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if self[4] != 2 || self[5] != 1 {
		t.Fatal("these tests are written for 64-bit little-endian machines")
	}
	const header, program = 64, 56
	b := slices.Concat([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 8), []byte{3, 0}, self[18:20], le32(1))
	b = slices.Concat(b, le64(0), le64(header), le64(0), le32(0), []byte{header, 0, program, 0, byte(len(notes)), 0, 0, 0, 0, 0, 0, 0})
	at := uint64(header + program*len(notes))
	for _, n := range notes {
		b = slices.Concat(b, le32(4), le32(4), le64(at), le64(at), le64(at), le64(uint64(len(n))), le64(uint64(len(n))), le64(align))
		at += uint64(len(n))
	}
	return slices.Concat(b, slices.Concat(notes...), []byte(content))
}
