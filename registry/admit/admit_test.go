package admit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const repo = statetest.Repository

// blobs are those of a repository, in memory.
type blobs map[attest.Digest][]byte

var errMissing = errors.New("not in the repository")

func (b blobs) File(d attest.Digest, limit int64) ([]byte, error) {
	raw, ok := b[d]
	if !ok {
		return nil, errMissing
	}
	if int64(len(raw)) > limit {
		return nil, errors.New("asked to read more than the limit")
	}
	return raw, nil
}

// A yard is a repository that manifests are put into.
type yard struct {
	*statetest.House
	t     *testing.T
	admit *admit.Admitter
	files blobs
}

func newYard(t *testing.T) *yard {
	t.Helper()
	h := statetest.New(t)
	h.Journal.Time = h.Now
	return &yard{h, t, admit.New(h.State), blobs{attest.DigestOf(empty): empty}}
}

var empty = []byte("{}")

// doc is a JSON document in the making.
type doc map[string]any

func (d doc) with(key string, value any) doc {
	c := doc{}
	for k, v := range d {
		c[k] = v
	}
	c[key] = value
	return c
}

func (y *yard) encode(v any) []byte {
	y.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		y.t.Fatal(err)
	}
	return b
}

func descriptor(mediaType string, b []byte) doc {
	return doc{"mediaType": mediaType, "digest": attest.DigestOf(b), "size": len(b)}
}

func subjectOf(d attest.Digest) doc {
	return doc{"mediaType": state.MediaManifest, "digest": d, "size": 1}
}

const (
	octets    = "application/octet-stream"
	mediaZero = "application/vnd.oci.empty.v1+json"
)

func manifest(artifactType, layerType string, file []byte) doc {
	return doc{
		"schemaVersion": 2, "mediaType": state.MediaManifest, "artifactType": artifactType,
		"config": descriptor(mediaZero, empty), "layers": []doc{descriptor(layerType, file)},
	}
}

// carrier returns the manifest that carries a bundle, and has the bundle in the
// repository.
func (y *yard) carrier(bundle []byte, about attest.Digest) doc {
	y.files[attest.DigestOf(bundle)] = bundle
	return manifest(attest.ArtifactBundle, attest.ArtifactBundle, bundle).with("subject", subjectOf(about))
}

func (y *yard) put(m doc) (*admit.Admission, error) {
	y.t.Helper()
	for d, b := range y.files {
		if _, ok := y.State.Blob(repo, d); !ok {
			y.Must(ledger.KindBlob, ledger.BlobPut{Repository: repo, Digest: d, Size: int64(len(b)), By: y.Admin})
		}
	}
	y.Link(y.encode(m))
	return y.admit.Manifest(admit.Put{Repository: repo, MediaType: state.MediaManifest, Raw: y.encode(m), Files: y.files})
}

// said returns the statements of w in the order they can be admitted in.
func said(w *verifytest.World) []verifytest.Said {
	all := w.Said()
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// named returns the statement of w with this name.
func (y *yard) named(w *verifytest.World, name string) verifytest.Said {
	y.t.Helper()
	for _, s := range w.Said() {
		if s.Name == name {
			return s
		}
	}
	y.t.Fatalf("a world says nothing called %q", name)
	return verifytest.Said{}
}

// by returns the bundle of s, made by somebody else.
func (y *yard) by(signer *verifytest.Signer, s verifytest.Said) []byte {
	y.t.Helper()
	return y.Authority.Bundle(y.Statement(s.Type, s.About.Manifest, s.About.File, s.Predicate), signer)
}

// base journals all that a patch of w stands on.
func (y *yard) base(w *verifytest.World) {
	y.t.Helper()
	for _, s := range said(w) {
		if s.About.Manifest != w.PatchManifest {
			y.SayIt(s)
		}
	}
}

// refused checks the reason and that the fact tells every one of words.
func refused(t *testing.T, name string, err error, want verify.Reason, words ...string) {
	t.Helper()
	var r *verify.Refusal
	if !errors.As(err, &r) {
		t.Errorf("%s: %v, want a refusal", name, err)
		return
	}
	if r.Reason != want || r.Fact == "" || r.Remedy == "" {
		t.Errorf("%s: %v, want %s", name, err, want)
	}
	for _, w := range words {
		if !strings.Contains(r.Fact, w) {
			t.Errorf("%s: %q does not tell %q", name, r.Fact, w)
		}
	}
}

func TestEveryStatementIsAdmitted(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	for _, s := range said(w) {
		bundle := y.Say(s)
		got, err := y.put(y.carrier(bundle, s.About.Manifest))
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if b := got.Bundle; b == nil || !b.Counts || string(b.Raw) != string(bundle) || b.Evidence.Type() != s.Type || b.Evidence.Subject() != s.About.Manifest {
			t.Errorf("%s: %+v", s.Name, b)
		}
		y.Admit(bundle, s.About.Manifest, s.Type)
	}
}

// TestStatements has everything said wrongly in one way.
func TestStatements(t *testing.T) {
	y := newYard(t)
	w, other := y.World("one"), y.World("two")
	y.base(w)
	y.base(other)
	stranger := y.Authority.Signer("stranger") // in no trust policy the server took
	patchOf := func(change func(*attest.LivePatch)) verifytest.Said {
		s := y.named(w, "livepatch")
		p := *w.Patch
		change(&p)
		s.Predicate = &p
		return s
	}
	buildOf := func(from *attest.Provenance, about string, change func(*attest.Provenance)) verifytest.Said {
		s := y.named(w, about)
		p := *from
		p.BuildDefinition.ResolvedDependencies = append([]attest.ResourceDescriptor(nil), from.BuildDefinition.ResolvedDependencies...)
		change(&p)
		s.Predicate = &p
		return s
	}
	live, base := y.named(w, "livepatch"), y.named(w, "base")
	unknown := attest.DigestOf([]byte("an environment nobody knows"))
	foreign := *w.PatchBuild
	foreign.BuildDefinition.ExternalParameters.Product = "6f1c0b0f-3c62-4a3e-9d3b-3f2f6f8f1a10"
	for name, c := range map[string]struct {
		bundle []byte
		about  attest.Digest
		want   verify.Reason
		words  []string
	}{
		"no bundle":             {[]byte(`{"mediaType":"x"}`), w.PatchManifest, verify.Corrupt, nil},
		"junk":                  {[]byte("\x7fELF"), w.PatchManifest, verify.Corrupt, nil},
		"a stranger":            {y.by(stranger, live), w.PatchManifest, verify.UntrustedSigner, nil},
		"a signer of bases":     {y.by(y.Signer("base"), live), w.PatchManifest, verify.UntrustedSigner, []string{"role patch", w.Product}},
		"no base authority":     {y.by(y.Signer("patch"), base), w.BaseManifest, verify.UntrustedSigner, []string{"role base"}},
		"about another patch":   {y.Say(live), other.PatchManifest, verify.SubjectMismatch, []string{string(w.PatchManifest)}},
		"about its base":        {y.Say(live), w.BaseManifest, verify.SubjectMismatch, nil},
		"another product":       {y.Say(buildOf(&foreign, "patch provenance", func(*attest.Provenance) {})), w.PatchManifest, verify.SubjectMismatch, []string{foreign.BuildDefinition.ExternalParameters.Product, w.Product}},
		"another base":          {y.Say(patchOf(func(p *attest.LivePatch) { p.Base = other.BaseManifest })), w.PatchManifest, verify.BaseMismatch, []string{string(other.BaseManifest), string(w.BaseManifest)}},
		"another base file":     {y.Say(patchOf(func(p *attest.LivePatch) { p.BaseFile = other.BaseFile.Digest })), w.PatchManifest, verify.BaseMismatch, []string{string(other.BaseFile.Digest)}},
		"another size":          {y.Say(patchOf(func(p *attest.LivePatch) { p.File.Size++ })), w.PatchManifest, verify.SubjectMismatch, []string{fmt.Sprint(w.PatchFile.Size + 1)}},
		"another environment":   {y.Say(patchOf(func(p *attest.LivePatch) { p.Environment = other.Patch.Environment })), w.PatchManifest, verify.EnvMismatch, []string{"want flags/2 = -DNAME=one, got -DNAME=two", "builderImage"}},
		"unknown environment":   {y.Say(patchOf(func(p *attest.LivePatch) { p.Environment = unknown })), w.PatchManifest, verify.EnvMismatch, []string{string(unknown), string(w.Patch.Environment)}},
		"patch build elsewhere": {y.Say(buildOf(other.PatchBuild, "patch provenance", func(*attest.Provenance) {})), w.PatchManifest, verify.EnvMismatch, []string{"flags/2"}},
		"base build elsewhere":  {y.Say(buildOf(other.BaseBuild, "base provenance", func(*attest.Provenance) {})), w.BaseManifest, verify.EnvMismatch, []string{"flags/2"}},
		"base environment": {y.Say(func() verifytest.Said {
			s, b := base, *w.Base
			b.Environment = other.Base.Environment
			s.Predicate = &b
			return s
		}()), w.BaseManifest, verify.EnvMismatch, []string{"flags/2"}},
		"no environment named": {y.Say(buildOf(w.PatchBuild, "patch provenance", func(p *attest.Provenance) {
			p.BuildDefinition.ResolvedDependencies = p.BuildDefinition.ResolvedDependencies[1:]
		})), w.PatchManifest, verify.Corrupt, []string{"environment"}},
		"a revocation": {y.Revoke(w.Product, attest.RevokeSubject, w.PatchManifest), w.PatchManifest, verify.SubjectMismatch, []string{"patchfit revoke"}},
		"a base of an image": {y.Say(verifytest.Said{Role: attest.RoleBase, Type: attest.TypeBase, About: verify.Artifact{Manifest: w.EnvManifest, File: w.BaseFile.Digest}, Predicate: w.Base}),
			w.EnvManifest, verify.SubjectMismatch, nil},
		"a build of an environment": {y.Say(verifytest.Said{Role: attest.RoleBuilder, Type: attest.TypeProvenance, About: verify.Artifact{Manifest: w.EnvManifest, File: w.EnvFile}, Predicate: w.BuilderBuild}),
			w.EnvManifest, verify.SubjectMismatch, []string{"says nothing about"}},
		"not logged":    {y.strip(y.Say(live), "tlogEntries"), w.PatchManifest, verify.NotLogged, nil},
		"no timestamp":  {y.strip(y.Say(live), "timestampVerificationData"), w.PatchManifest, verify.NotLogged, nil},
		"bad signature": {y.forge(y.Say(live)), w.PatchManifest, verify.BadSignature, nil},
	} {
		_, err := y.put(y.carrier(c.bundle, c.about))
		refused(t, name, err, c.want, c.words...)
	}
	if _, err := y.put(y.carrier(y.Say(live), w.PatchManifest)); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

// strip takes a member of the verification material out of a bundle.
func (y *yard) strip(bundle []byte, member string) []byte {
	y.t.Helper()
	var b map[string]any
	if err := json.Unmarshal(bundle, &b); err != nil {
		y.t.Fatal(err)
	}
	delete(b["verificationMaterial"].(map[string]any), member)
	return y.encode(b)
}

// forge puts another statement's signature under a bundle.
func (y *yard) forge(bundle []byte) []byte {
	y.t.Helper()
	var b, donor map[string]any
	other := y.Say(y.named(y.Authority.World(y.Product, "donor"), "livepatch"))
	if json.Unmarshal(bundle, &b) != nil || json.Unmarshal(other, &donor) != nil {
		y.t.Fatal("a bundle is no JSON")
	}
	b["dsseEnvelope"].(map[string]any)["signatures"] = donor["dsseEnvelope"].(map[string]any)["signatures"]
	return y.encode(b)
}

func TestExpiredKey(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	y.base(w)
	y.Signer("patch").Until = y.Now
	p := y.TrustPolicy(y.Product)
	p.Version, p.Roots = 2, attest.Roots{Threshold: 1, Keys: []string{y.Root.Public.Base64()}}
	y.Trust(p)
	_, err := y.put(y.carrier(y.Say(y.named(w, "livepatch")), w.PatchManifest))
	refused(t, "a key that is over", err, verify.Expired)
}

func TestBaseFirst(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	for _, name := range []string{"livepatch", "patch provenance"} {
		_, err := y.put(y.carrier(y.Say(y.named(w, name)), w.PatchManifest))
		refused(t, name, err, verify.UnknownBase, string(w.BaseManifest))
	}
	y.SayIt(verifytest.Said{Name: "base", Role: attest.RoleBase, Type: attest.TypeBase, About: verify.Artifact{Manifest: w.BaseManifest, File: w.BaseFile.Digest}, Predicate: w.Base})
	if _, err := y.put(y.carrier(y.Say(y.named(w, "livepatch")), w.PatchManifest)); err != nil {
		t.Errorf("after base/v1: %v", err)
	}
}

// TestRevokedOnArrival: what was revoked before it was said is refused. What was
// said before it was revoked is history: it comes in, and denies by its revocation.
func TestRevokedOnArrival(t *testing.T) {
	for name, c := range map[string]struct {
		said   string
		about  func(w *verifytest.World) attest.Digest
		revoke func(y *yard, w *verifytest.World)
	}{
		"patch":       {"livepatch", patchOf, func(y *yard, w *verifytest.World) { y.RevokeIt(attest.RevokeSubject, w.PatchManifest) }},
		"key":         {"livepatch", patchOf, func(y *yard, _ *verifytest.World) { y.RevokeIt(attest.RevokeKey, y.Signer("patch").Key.ID()) }},
		"environment": {"livepatch", patchOf, func(y *yard, w *verifytest.World) { y.RevokeIt(attest.RevokeEnvironment, w.Patch.Environment) }},
		"builder image": {"builder provenance", func(w *verifytest.World) attest.Digest { return w.Builder },
			func(y *yard, w *verifytest.World) { y.RevokeIt(attest.RevokeBuilder, w.Builder) }},
	} {
		for _, pause := range []time.Duration{0, time.Second} { // within one second the log tells what came first
			y := newYard(t)
			w := y.World("one")
			y.base(w)
			before := y.Say(y.named(w, c.said))
			y.Authority.Now = y.Authority.Now.Add(pause)
			c.revoke(y, w)
			y.Authority.Now = y.Authority.Now.Add(pause)
			after := y.Say(y.named(w, c.said))
			if got, err := y.put(y.carrier(before, c.about(w))); err != nil || !got.Bundle.Counts {
				t.Errorf("%s: what was said before it was revoked, and came later: %v", name, err)
			}
			_, err := y.put(y.carrier(after, c.about(w)))
			refused(t, name, err, verify.Revoked, "the test says so")
		}
	}
}

func patchOf(w *verifytest.World) attest.Digest { return w.PatchManifest }

// A payload that is revoked is refused however often it is signed again.
func TestRevokedPayloadSignedAgain(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	y.base(w)
	s := y.named(w, "livepatch")
	statement := y.Statement(s.Type, s.About.Manifest, s.About.File, s.Predicate)
	y.RevokeIt(attest.RevokePayload, attest.DigestOf(statement))
	_, err := y.put(y.carrier(y.Bundle(statement, y.Signer(string(s.Role))), w.PatchManifest))
	refused(t, "payload", err, verify.Revoked)
}

// TestUnknownTypesAreKept: what this version does not know is kept when a
// signer of the product says it, and counts for nothing.
func TestUnknownTypesAreKept(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	s := verifytest.Said{
		Role: attest.RolePatch, Type: "https://example.com/scan/v1",
		About: verify.Artifact{Manifest: w.PatchManifest, File: w.PatchFile.Digest}, Predicate: attest.Unknown(`{"found":0}`),
	}
	got, err := y.put(y.carrier(y.Say(s), w.PatchManifest))
	if err != nil || got.Bundle == nil || got.Bundle.Counts {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = y.put(y.carrier(y.by(y.Authority.Signer("stranger"), s), w.PatchManifest))
	refused(t, "a stranger", err, verify.UntrustedSigner)
	p := y.TrustPolicy(y.Product) // which now names the stranger, and gives no role
	p.Version, p.Roots = 2, attest.Roots{Threshold: 1, Keys: []string{y.Root.Public.Base64()}}
	y.Trust(p)
	_, err = y.put(y.carrier(y.by(y.Authority.Signer("stranger"), s), w.PatchManifest))
	refused(t, "a signer without a role", err, verify.UntrustedSigner, "had no role")
	y.base(w)
	_, err = y.put(y.carrier(y.by(y.Authority.Signer("stranger"), y.named(w, "livepatch")), w.PatchManifest))
	refused(t, "a signer without a role", err, verify.UntrustedSigner, "did not have role patch")
}

// TestShapes has manifests of the wrong shape.
func TestShapes(t *testing.T) {
	y := newYard(t)
	w, other := y.World("one"), y.World("two")
	y.base(w)
	bundle := y.Say(y.named(w, "livepatch"))
	good := y.carrier(bundle, w.PatchManifest)
	y.files[attest.DigestOf([]byte("patch"))] = []byte("patch")
	patch := manifest(attest.ArtifactPatch, octets, []byte("patch")).with("subject", subjectOf(w.BaseManifest))
	base := manifest(attest.ArtifactBase, octets, []byte("base")).with("subject", subjectOf(w.EnvManifest))
	canonical, err := w.Environment.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	loose := []byte(strings.Replace(string(canonical), ":", ": ", 1))
	y.files[attest.DigestOf(canonical)], y.files[attest.DigestOf(loose)] = canonical, loose
	environment := manifest(attest.ArtifactEnv, mediaZero, empty).with("subject", subjectOf(w.Builder)).with("config", descriptor(attest.MediaEnvironment, canonical))
	noted := func(m doc, k, v string) doc { return m.with("annotations", doc{k: v}) }
	const title = "org.opencontainers.image.title"
	titled := func(v string) doc {
		return patch.with("layers", []doc{descriptor(octets, []byte("patch")).with("annotations", doc{title: v})})
	}
	for name, m := range map[string]doc{
		"bundle":                good,
		"bundle with notes":     noted(good, "dev.sigstore.bundle.content", "dsse-envelope"),
		"patch":                 patch,
		"patch with a title":    titled("patch-1.2.so"),
		"base":                  base,
		"environment":           environment,
		"environment, no layer": environment.with("layers", []doc{}),
		"image":                 manifest("", octets, []byte("layer")),
		"text of two lines":     noted(patch, "org.opencontainers.image.description", "one\ntwo"),
	} {
		if _, err := y.put(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		m    doc
		want verify.Reason
	}{
		"bundle, another type":        {good.with("artifactType", "application/vnd.dev.sigstore.bundle.v0.2+json"), verify.Corrupt},
		"bundle, no type":             {good.with("artifactType", ""), verify.Corrupt},
		"bundle as a patch's":         {good.with("artifactType", attest.ArtifactPatch), verify.Corrupt},
		"bundle, another layer type":  {manifest(attest.ArtifactBundle, octets, bundle).with("subject", subjectOf(w.PatchManifest)), verify.Corrupt},
		"bundle, two layers":          {good.with("layers", []doc{descriptor(attest.ArtifactBundle, bundle), descriptor(octets, empty)}), verify.Corrupt},
		"bundle, no layer":            {good.with("layers", []doc{}), verify.Corrupt},
		"bundle, config":              {good.with("config", descriptor(octets, bundle)), verify.Corrupt},
		"bundle, no subject":          {manifest(attest.ArtifactBundle, attest.ArtifactBundle, bundle), verify.SubjectMismatch},
		"bundle, unknown subject":     {good.with("subject", subjectOf(attest.DigestOf(nil))), verify.SubjectMismatch},
		"bundle, wrong size":          {good.with("layers", []doc{descriptor(attest.ArtifactBundle, bundle).with("size", 1)}), verify.Corrupt},
		"bundle, too large":           {good.with("layers", []doc{descriptor(attest.ArtifactBundle, bundle).with("size", attest.MaxBundle+1)}), verify.Corrupt},
		"patch, two layers":           {patch.with("layers", []doc{descriptor(octets, []byte("a")), descriptor(octets, []byte("b"))}), verify.Corrupt},
		"patch, no layer":             {patch.with("layers", []doc{}), verify.Corrupt},
		"patch of nothing":            {patch.with("layers", []doc{descriptor(octets, nil)}), verify.Corrupt},
		"patch, config":               {patch.with("config", descriptor(octets, []byte("x"))), verify.Corrupt},
		"patch, no subject":           {manifest(attest.ArtifactPatch, octets, []byte("patch")), verify.SubjectMismatch},
		"patch for a patch":           {patch.with("subject", subjectOf(w.PatchManifest)), verify.SubjectMismatch},
		"base without environment":    {base.with("subject", subjectOf(w.Builder)), verify.SubjectMismatch},
		"environment, loose":          {environment.with("config", descriptor(attest.MediaEnvironment, loose)), verify.Corrupt},
		"environment, no image":       {environment.with("subject", subjectOf(w.EnvManifest)), verify.SubjectMismatch},
		"environment, unknown image":  {environment.with("subject", subjectOf(attest.DigestOf(nil))), verify.SubjectMismatch},
		"environment, another image":  {environment.with("subject", subjectOf(other.Builder)), verify.SubjectMismatch},
		"environment of a base":       {environment.with("subject", subjectOf(w.BaseManifest)), verify.SubjectMismatch},
		"environment, no subject":     {manifest(attest.ArtifactEnv, mediaZero, empty).with("config", descriptor(attest.MediaEnvironment, canonical)), verify.SubjectMismatch},
		"environment, config type":    {environment.with("config", descriptor(octets, canonical)), verify.Corrupt},
		"environment, files":          {environment.with("layers", []doc{descriptor(octets, []byte("x"))}), verify.Corrupt},
		"environment by its config":   {environment.with("artifactType", ""), verify.Corrupt},
		"unknown type of ours":        {patch.with("artifactType", "application/vnd.patchfit.livepatch.v9"), verify.Corrupt},
		"urls":                        {patch.with("layers", []doc{descriptor(octets, []byte("x")).with("urls", []string{"http://169.254.169.254/"})}), verify.Corrupt},
		"sha512":                      {patch.with("layers", []doc{{"mediaType": octets, "size": 1, "digest": "sha512:" + strings.Repeat("a", 128)}}), verify.Corrupt},
		"manifests in a manifest":     {patch.with("manifests", []doc{subjectOf(w.BaseManifest)}), verify.Corrupt},
		"another media type":          {patch.with("mediaType", state.MediaIndex), verify.Corrupt},
		"null":                        {patch.with("annotations", nil), verify.Corrupt},
		"129 layers":                  {manifest("", octets, nil).with("layers", make129()), verify.Corrupt},
		"a manifest above 1 MiB":      {patch.with("x", strings.Repeat("x", 1<<20)), verify.Corrupt},
		"a title with a path":         {titled("../../etc/passwd"), verify.Corrupt},
		"an absolute title":           {titled("/etc/passwd"), verify.Corrupt},
		"a title with a backslash":    {titled(`..\x`), verify.Corrupt},
		"an empty title":              {titled(""), verify.Corrupt},
		"a title of dots":             {titled(".."), verify.Corrupt},
		"a title with a NUL":          {titled("a\x00b"), verify.Corrupt},
		"a title of two lines":        {titled("a\nb"), verify.Corrupt},
		"a title of 256 bytes":        {titled(strings.Repeat("a", 256)), verify.Corrupt},
		"a title on the manifest":     {noted(patch, title, "a/b"), verify.Corrupt},
		"a title on an image's layer": {manifest("", octets, nil).with("layers", []doc{descriptor(octets, nil).with("annotations", doc{title: "a/b"})}), verify.Corrupt},
		"an escape in a note":         {noted(patch, "x", "\x1b[2J"), verify.Corrupt},
		"a long note":                 {noted(patch, "x", strings.Repeat("x", 4097)), verify.Corrupt},
		"a note without a name":       {noted(patch, "", "x"), verify.Corrupt},
	} {
		_, err := y.put(c.m)
		refused(t, name, err, c.want)
	}
}

func make129() []doc {
	var all []doc
	for range 129 {
		all = append(all, descriptor(octets, empty))
	}
	return all
}

func TestDuplicateNames(t *testing.T) {
	y := newYard(t)
	raw := y.encode(manifest("", octets, []byte("x")))
	twice := strings.Replace(string(raw), `"layers":`, `"layers":[],"layers":`, 1)
	_, err := y.admit.Manifest(admit.Put{Repository: repo, MediaType: state.MediaManifest, Raw: []byte(twice), Files: y.files})
	refused(t, "layers twice", err, verify.Corrupt, "layers")
	_, err = y.admit.Manifest(admit.Put{Repository: "other", MediaType: state.MediaManifest, Raw: raw, Files: y.files})
	refused(t, "no product", err, verify.ForbiddenRole)
}

// TestMissingBlob: what cannot be read is not admitted, and is no refusal.
func TestMissingBlob(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	m := y.carrier(y.Say(y.named(w, "builder provenance")), w.Builder)
	clear(y.files)
	if got, err := y.put(m); !errors.Is(err, errMissing) || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestTooMany: a subject has no more than 1,000 referrers, and one that is there
// can be put again.
func TestTooMany(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	var last doc
	for i := range admit.MaxReferrers - len(y.State.Referrers(repo, string(w.BaseManifest))) {
		last = manifest("application/vnd.example", octets, fmt.Append(nil, i)).with("subject", subjectOf(w.BaseManifest))
		y.PutManifest(y.encode(last))
	}
	if _, err := y.put(last); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if _, err := y.put(manifest("application/vnd.example", octets, []byte("more")).with("subject", subjectOf(w.BaseManifest))); !errors.Is(err, admit.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
}

// TestNoTrustPolicy: before there is one, nothing is admitted.
func TestNoTrustPolicy(t *testing.T) {
	h := statetest.Empty(t)
	if h.State.Verifier() != nil {
		t.Fatal("the test expects a server without a trust policy")
	}
	h.Must(ledger.KindProduct, ledger.ProductAdded{Product: h.Product.ID, Repository: repo, By: h.Admin})
	_, err := admit.New(h.State).Manifest(admit.Put{Repository: repo, MediaType: state.MediaManifest, Raw: empty, Files: blobs{}})
	refused(t, "no trust policy", err, verify.ForbiddenRole)
}
