package mirror_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tsa"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const (
	repo          = "lib/greet"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
)

// An origin is a server to mirror: its log and timestamps are real, its
// repository and /v1 are maps behind the same routes.
type origin struct {
	*store
	t        *testing.T
	url      string
	policy   *attest.TrustPolicy
	envelope []byte
	roots    attest.Digest
	product  attest.Product
	world    *verifytest.World
	makers   *verifytest.Authority
	log      *client.Client

	// tamper may answer a request in the origin's place.
	tamper func(w http.ResponseWriter, r *http.Request) bool
}

// A store is what a server holds of one repository.
type store struct {
	mu        sync.Mutex
	blobs     map[attest.Digest][]byte
	manifests map[attest.Digest][]byte
	tags      map[string]attest.Digest
	evidence  [][]byte // admitted, whether a manifest carries it or not
	revoked   [][]byte
	channels  []api.ServedChannel
	policy    []byte
	meantime  func() // once, after the first answer about revocations or channels
}

func newStore() *store {
	return &store{blobs: map[attest.Digest][]byte{}, manifests: map[attest.Digest][]byte{}, tags: map[string]attest.Digest{}}
}

func (s *store) blob(b []byte) attest.File {
	d := attest.DigestOf(b)
	s.blobs[d] = b
	return attest.File{Digest: d, Size: int64(len(b))}
}

func (s *store) manifest(b []byte) attest.Digest {
	d := attest.DigestOf(b)
	s.manifests[d] = b
	return d
}

// newOrigin returns an origin with one patch and all it stands on, said,
// logged and attached; a second tag, and nothing else.
func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{store: newStore(), t: t, makers: verifytest.New(t)}
	mux := http.NewServeMux()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.tamper != nil && o.tamper(w, r) {
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	o.url = srv.URL
	root := o.openLog(mux)
	o.product = o.makers.Product(repo)
	o.trust(root, 1)
	var err error
	if o.log, err = client.New(o.url, nil); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", o.store)
	o.publish()
	return o
}

// openLog starts the log and the timestamp authority and returns their trusted
// root.
func (o *origin) openLog(mux *http.ServeMux) []byte {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(o.t, err)
	log, err := tlog.Open(o.t.Context(), o.t.TempDir(), "origin.example", key, &tlog.Options{
		Allowed: func(attest.Digest) bool { return true }, BatchAge: time.Millisecond,
	})
	must(o.t, err)
	o.t.Cleanup(func() { log.Close(context.Background()) })
	tsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(o.t, err)
	chain, err := tsa.NewChain(tsaKey)
	must(o.t, err)
	stamps, err := tsa.New(tsaKey, chain)
	must(o.t, err)
	mux.Handle(ledger.ReadPath, log)
	mux.Handle(ledger.TimestampsPath, stamps)
	root, err := ledger.TrustedRoot([]ledger.LogKey{{Origin: "origin.example", Key: key.Public(), Start: chain[0].NotBefore}}, chain)
	must(o.t, err)
	return root
}

// trust signs a trust policy with one root.
func (o *origin) trust(trustedRoot []byte, version int64) {
	key := statetest.NewKey(o.t)
	p := o.makers.TrustPolicy(o.product)
	p.Version, p.TrustedRoot, p.Expires = version, trustedRoot, time.Now().UTC().AddDate(1, 0, 0).Truncate(time.Second)
	p.Roots = attest.Roots{Threshold: 1, Keys: []string{key.Public.Base64()}}
	b, err := strictjson.Canonical(p)
	must(o.t, err)
	o.envelope, err = attest.SignEnvelope(attest.PolicyPayload, b, key.Sign(o.t))
	must(o.t, err)
	o.roots, err = p.Roots.Digest()
	must(o.t, err)
	o.policy, err = attest.OpenTrustPolicy(o.envelope, o.roots)
	must(o.t, err)
	o.store.policy = o.envelope
}

// publish puts a world whose files have bytes, with its statements attached.
func (o *origin) publish() {
	w := o.makers.World(o.product, "fix-1")
	o.world = w
	o.blob([]byte("{}"))
	content := func(what string) attest.File { return o.blob(bytes.Repeat([]byte(what+"\n"), 5000)) }
	w.Builder = o.manifest(statetest.Manifest("", content("builder"), ""))
	w.Environment.BuilderImage = w.Builder
	w.Link(o.t)
	env, err := w.Environment.Canonical()
	must(o.t, err)
	w.EnvManifest = o.manifest(statetest.Manifest(attest.ArtifactEnv, o.blob(env), w.Builder))
	w.BaseFile = content("base")
	w.Base.File = w.BaseFile
	w.Base.Measurements[0].Digest = w.BaseFile.Digest
	w.BaseManifest = o.manifest(statetest.Manifest(attest.ArtifactBase, w.BaseFile, w.EnvManifest))
	w.PatchFile = content("patch")
	w.Patch.Base, w.Patch.BaseFile, w.Patch.File, w.Patch.Unsigned = w.BaseManifest, w.BaseFile.Digest, w.PatchFile, w.PatchFile.Digest
	w.PatchManifest = o.manifest(statetest.Manifest(attest.ArtifactPatch, w.PatchFile, w.BaseManifest))
	for _, s := range w.Said() {
		o.attach(s.About.Manifest, o.say(s))
	}
	o.tags["base"], o.tags["fix-1"], o.tags["latest"] = w.BaseManifest, w.PatchManifest, w.PatchManifest
}

// say has a statement signed, logged and timestamped.
func (o *origin) say(s verifytest.Said) []byte {
	o.t.Helper()
	signer := o.makers.Signer(string(s.Role))
	return o.bundle(o.makers.Statement(s.Type, s.About.Manifest, s.About.File, s.Predicate), signer)
}

func (o *origin) bundle(statement []byte, signer *verifytest.Signer) []byte {
	o.t.Helper()
	b, err := o.log.Bundle(o.t.Context(), o.makers.Envelope(statement, signer), signer.Key)
	must(o.t, err)
	return b
}

// attach puts a bundle as a referrer and returns its manifest.
func (o *origin) attach(subject attest.Digest, bundle []byte) attest.Digest {
	o.evidence = append(o.evidence, bundle)
	raw := bytes.Replace(statetest.Manifest(attest.ArtifactBundle, o.blob(bundle), subject),
		[]byte("application/octet-stream"), []byte(attest.ArtifactBundle), 1)
	return o.manifest(raw)
}

// revoke makes a revocation the server has.
func (o *origin) revoke(kind string, d attest.Digest) {
	o.t.Helper()
	r := &attest.Revocation{Product: o.product.ID, Kind: kind, Digest: d, Reason: "the test says so"}
	o.revoked = append(o.revoked, o.bundle(o.makers.Statement(attest.TypeRevocation, d, "", r), o.makers.Signer("revocation")))
}

// offer makes a version of a channel the server has.
func (o *origin) offer(name string, version int64) []byte {
	c := &attest.Channel{
		Product: o.product.ID, Name: name, Version: version, Expires: verifytest.Epoch.AddDate(1, 0, 0), Revocations: []attest.Digest{},
		Bases: []attest.ChannelBase{{Base: o.world.BaseManifest, Patches: []attest.Digest{o.world.PatchManifest}, Superseded: []attest.Digest{}}},
	}
	b := o.bundle(o.makers.Statement(attest.TypeChannel, attest.ChannelID(c.Product, c.Name), "", c), o.makers.Signer("channel"))
	o.channels = append(o.channels, api.ServedChannel{Name: name, Version: version, Expires: c.Expires, Bundle: b})
	return b
}

func (o *origin) source() mirror.Source {
	o.t.Helper()
	c, err := api.New(o.url, nil)
	must(o.t, err)
	return mirror.Source{Server: c, Envelope: o.envelope, Policy: o.policy}
}

// pull copies the whole repository.
func (o *origin) pull(ctx context.Context, path string) (*mirror.Pulled, error) {
	return mirror.Pull(ctx, o.source(), []mirror.Want{{Repository: repo}}, path, nil)
}

func (o *origin) mustPull(path string) *mirror.Pulled {
	o.t.Helper()
	p, err := o.pull(o.t.Context(), path)
	must(o.t, err)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP answers as a registry and as /v1 do.
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.meantime; f != nil && (r.URL.Path == "/v1/revocations" || r.URL.Path == "/v1/channels") {
		s.meantime = nil
		defer f()
	}
	switch rest, ok := strings.CutPrefix(r.URL.Path, "/v2/"+repo+"/"); {
	case ok:
		s.oci(w, r, rest)
	case r.URL.Path == "/v1/trust-policy" && s.policy != nil:
		w.Write(s.policy)
	case r.URL.Path == "/v1/evidence":
		api.WriteJSON(w, 200, api.Evidence{SchemaVersion: 1, Bundles: s.evidence})
	case r.URL.Path == "/v1/revocations" && r.Method == http.MethodPost:
		b, _ := io.ReadAll(r.Body)
		if !slices.ContainsFunc(s.revoked, func(have []byte) bool { return bytes.Equal(have, b) }) {
			s.revoked = append(s.revoked, b)
		}
		api.WriteJSON(w, 200, api.Revoked{SchemaVersion: 1, Sequence: 1, Payload: attest.DigestOf(b)})
	case r.URL.Path == "/v1/channels" && r.Method == http.MethodPost:
		b, _ := io.ReadAll(r.Body)
		parsed, err := attest.ParseBundle(b)
		if err != nil {
			api.WriteError(w, api.Errorf(422, string(verify.Corrupt), "%v", err))
			return
		}
		c := parsed.Statement.Predicate.(*attest.Channel)
		for _, have := range s.channels {
			if have.Name == c.Name && have.Version >= c.Version && !bytes.Equal(have.Bundle, b) {
				api.WriteError(w, api.Errorf(422, string(verify.Rollback), "channel %s is at version %d", c.Name, have.Version))
				return
			}
		}
		s.channels = append(s.channels, api.ServedChannel{Name: c.Name, Version: c.Version, Expires: c.Expires, Bundle: b})
		api.WriteJSON(w, 200, api.ChannelTaken{SchemaVersion: 1, Sequence: 1, Payload: attest.DigestOf(b)})
	case r.URL.Path == "/v1/channels":
		api.WriteJSON(w, 200, api.Channels{SchemaVersion: 1, Product: r.URL.Query().Get("product"), Channels: append([]api.ServedChannel{}, s.channels...)})
	case r.URL.Path == "/v1/revocations":
		list := append([][]byte{}, s.revoked...)
		api.WriteJSON(w, 200, api.Revocations{SchemaVersion: 1, Product: r.URL.Query().Get("product"), Count: int64(len(list)), Bundles: list})
	default:
		api.WriteError(w, api.Errorf(404, api.CodeNotFound, "nothing here"))
	}
}

func (s *store) oci(w http.ResponseWriter, r *http.Request, path string) {
	part, name, _ := strings.Cut(path, "/")
	d := attest.Digest(name)
	switch {
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		s.push(w, r, part, name)
	case part == "tags":
		names := []string{}
		for t := range s.tags {
			names = append(names, t)
		}
		slices.Sort(names)
		writeJSON(w, "application/json", map[string]any{"name": repo, "tags": names})
	case part == "referrers":
		s.referrers(w, d)
	case part == "manifests":
		if tagged, ok := s.tags[name]; ok {
			d = tagged
		}
		serve(w, r, d, s.manifests[d], mediaManifest)
	case part == "blobs":
		serve(w, r, d, s.blobs[d], "application/octet-stream")
	}
}

func serve(w http.ResponseWriter, r *http.Request, d attest.Digest, b []byte, typ string) {
	if b == nil {
		api.WriteOCIError(w, api.Errorf(404, "MANIFEST_UNKNOWN", "%s is not here", d))
		return
	}
	w.Header().Set("Content-Type", typ)
	w.Header().Set("Docker-Content-Digest", string(d))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

func writeJSON(w http.ResponseWriter, typ string, v any) {
	w.Header().Set("Content-Type", typ)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: the test sees it
}

func (s *store) referrers(w http.ResponseWriter, subject attest.Digest) {
	list := []map[string]any{}
	for d, raw := range s.manifests {
		m := parse(raw)
		if m.Subject != nil && m.Subject.Digest == subject {
			list = append(list, map[string]any{"mediaType": mediaManifest, "digest": d, "size": len(raw), "artifactType": m.ArtifactType})
		}
	}
	writeJSON(w, "application/vnd.oci.image.index.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list,
	})
}

type ociManifest struct {
	ArtifactType string `json:"artifactType"`
	Config       ociDescriptor
	Layers       []ociDescriptor
	Subject      *ociDescriptor
}

type ociDescriptor struct{ Digest attest.Digest }

func parse(raw []byte) ociManifest {
	var m ociManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return ociManifest{}
	}
	return m
}

// push takes what a publisher sends, and refuses what came before what it
// needs, as admission does.
func (s *store) push(w http.ResponseWriter, r *http.Request, part, name string) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/"+repo+"/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case part == "blobs":
		s.blobs[attest.Digest(r.URL.Query().Get("digest"))] = body
		w.WriteHeader(http.StatusCreated)
	default:
		s.putManifest(w, body, name)
	}
}

// place is where in the log a bundle's entry is: what comes after its revocation
// is refused.
func place(b *attest.Bundle) int64 {
	return b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0].GetLogIndex()
}

func (s *store) putManifest(w http.ResponseWriter, body []byte, name string) {
	m := parse(body)
	needs := append([]ociDescriptor{m.Config}, m.Layers...)
	for _, b := range needs {
		if s.blobs[b.Digest] == nil {
			api.WriteOCIError(w, api.Errorf(400, "MANIFEST_BLOB_UNKNOWN", "blob %s", b.Digest))
			return
		}
	}
	if m.Subject != nil && s.manifests[m.Subject.Digest] == nil {
		api.WriteOCIError(w, api.Errorf(403, "DENIED", "SUBJECT_MISMATCH: %s is not here", m.Subject.Digest))
		return
	}
	if m.ArtifactType == attest.ArtifactBundle && len(s.revoked) > 0 {
		if b, err := attest.ParseBundle(s.blobs[m.Layers[0].Digest]); err == nil {
			for _, raw := range s.revoked {
				if r, err := attest.ParseBundle(raw); err == nil && r.Statement.Subjects[0].Digest == b.Statement.Subjects[0].Digest && place(r) < place(b) {
					api.WriteOCIError(w, api.Errorf(403, "DENIED", "REVOKED: subject %s is revoked", b.Statement.Subjects[0].Digest).Hint("use another"))
					return
				}
			}
		}
	}
	d := s.manifest(body)
	if _, err := attest.ParseDigest(name); err != nil {
		s.tags[name] = d
	}
	w.Header().Set("Docker-Content-Digest", string(d))
	if m.Subject != nil {
		w.Header().Set("OCI-Subject", string(m.Subject.Digest))
	}
	w.WriteHeader(http.StatusCreated)
}
