package host

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

func TestPull(t *testing.T) {
	m := enrolled(t)
	p, err := m.pull()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(m.file())
	if err != nil || string(got) != string(m.server.patch) {
		t.Errorf("kept %q (%v), want %q", got, err, m.server.patch)
	}
	if info, err := os.Stat(m.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kept with mode %v (%v), want 0600", info.Mode(), err)
	}
	if p.Basis != attest.FitEnvironment || p.Digest != m.server.world.PatchManifest || len(p.Evidence) != 6 {
		t.Errorf("pulled %+v", p)
	}
	for _, c := range p.Checks {
		if !c.Passed {
			t.Errorf("allowed although %s did not pass", c.Rule)
		}
	}
	if entries, _ := os.ReadDir(m.out); len(entries) != 1 {
		t.Errorf("the pull left %d files, want 1", len(entries))
	}
}

func TestPullByDigestWithServerName(t *testing.T) {
	m := enrolled(t)
	err := m.with(func(a *Agent) error {
		ref, err := a.ParseReference(strings.TrimPrefix(m.server.http.URL, "https://") + "/" + repository + "@" + string(m.server.world.PatchManifest))
		if err != nil {
			return err
		}
		_, err = a.Pull(t.Context(), ref, m.file())
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Each way a server can lie is refused with its own reason, and leaves nothing.
func TestPullFromALiar(t *testing.T) {
	for name, tc := range map[string]struct {
		lie  func(s *server)
		want verify.Reason
	}{
		"bundle of another artifact": {func(s *server) {
			other := s.authority.World(s.product, "other")
			s.bundles["livepatch"] = s.authority.Say(other.Said()[0])
		}, verify.SubjectMismatch},
		"evidence signed by a stranger": {func(s *server) {
			said := s.said("livepatch")
			statement := s.authority.Statement(said.Type, said.About.Manifest, said.About.File, said.Predicate)
			s.bundles["livepatch"] = s.authority.Bundle(statement, s.authority.Stranger())
		}, verify.UntrustedSigner},
		"base vouched for by the patch's signer": {func(s *server) {
			said := s.said("base")
			said.Role = attest.RolePatch
			s.bundles["base"] = s.authority.Say(said)
		}, verify.UntrustedSigner},
		"bundle that was changed": {func(s *server) {
			b := string(s.bundles["livepatch"])
			s.bundles["livepatch"] = []byte(strings.Replace(b, `"payload":"e`, `"payload":"f`, 1))
		}, verify.Corrupt},
		"statement withheld":        {func(s *server) { delete(s.bundles, "base") }, verify.NoAttestation},
		"provenance withheld":       {func(s *server) { delete(s.bundles, "patch provenance") }, verify.NoProvenance},
		"builder image not vouched": {func(s *server) { delete(s.bundles, "builder provenance") }, verify.NoProvenance},
		"bytes changed":             {func(s *server) { s.patch = []byte("a l1ve patch") }, verify.Corrupt},
		"bytes cut":                 {func(s *server) { s.patch = s.patch[:5] }, verify.Corrupt},
		"bytes added":               {func(s *server) { s.patch = append(s.patch, "and more"...) }, verify.Corrupt},
		"another type of artifact":  {func(s *server) { s.edit(attest.ArtifactPatch, attest.ArtifactBase) }, verify.SubjectMismatch},
		"two layers": {func(s *server) {
			s.edit(`"layers":[`, `"layers":[{"digest":"`+string(attest.DigestOf(nil))+`","size":1},`)
		}, verify.Corrupt},
		"member twice":               {func(s *server) { s.edit(`"layers":`, `"layers":[],"layers":`) }, verify.Corrupt},
		"manifest that was changed":  {func(s *server) { s.edit(`"size":12`, `"size":13`) }, verify.SubjectMismatch},
		"unknown trust policy bytes": {func(s *server) { s.policy = []byte(`{}`) }, verify.Corrupt},
		"trust policy of a stranger": {func(s *server) { s.signPolicy(2, s.authority.Stranger()) }, verify.BadSignature},
		"two trust policies of one version": {func(s *server) {
			s.policyOf(func(p *attest.TrustPolicy) { p.Expires = p.Expires.Add(time.Hour) }, s.root)
		}, verify.Contested},
		"revoked patch": {func(s *server) {
			s.revocations = [][]byte{s.authority.Revoke(s.product.ID, attest.RevokeSubject, s.world.PatchManifest)}
		}, verify.Revoked},
		"count of revocations above those sent": {func(s *server) { s.count = 1 }, verify.Rollback},
	} {
		t.Run(name, func(t *testing.T) {
			m := enrolled(t)
			tc.lie(m.server)
			m.refused(tc.want)
		})
	}
}

// edit changes the manifest, and what it is called, but not what is said of it.
func (s *server) edit(from, to string) {
	s.t.Helper()
	if !strings.Contains(string(s.manifest), from) {
		s.t.Fatalf("%q is not in %s", from, s.manifest)
	}
	s.manifest = []byte(strings.Replace(string(s.manifest), from, to, 1))
}

// A statement too many does no harm: it is no evidence.
func TestPullIgnoresStrangers(t *testing.T) {
	m := enrolled(t)
	said := m.server.said("base")
	m.server.bundles["extra"] = m.server.authority.Bundle(m.server.authority.Statement(said.Type, said.About.Manifest, said.About.File, said.Predicate), m.server.authority.Stranger())
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
}

func TestPullManifestNotAsked(t *testing.T) {
	m := enrolled(t)
	asked := m.server.world.PatchManifest
	m.server.edit(`"schemaVersion":2`, `"schemaVersion": 2`)
	err := m.with(func(a *Agent) error {
		_, err := a.Pull(t.Context(), Reference{Repository: repository, Digest: asked}, m.file())
		return err
	})
	if got := reasonOf(err); got != verify.Corrupt {
		t.Errorf("%v, want reason CORRUPT", err)
	}
	m.nothingKept()
}

// The server decided on the last record; what runs here may have changed since.
func TestPullAfterTheBaseChanged(t *testing.T) {
	m := enrolled(t)
	m.server.writeBase("second build")
	m.refused(verify.StaleHostRecord)
}

func TestPullWhileTheBaseChanges(t *testing.T) {
	m := enrolled(t)
	m.server.before = func(_ http.ResponseWriter, path string) bool {
		if strings.Contains(path, "/blobs/") {
			m.server.writeBase("second build")
		}
		return false
	}
	m.refused(verify.StaleHostRecord)
}

func TestPullForAnotherBase(t *testing.T) {
	m := enrolled(t)
	m.server.writeBase("second build")
	if err := m.record(); err != nil {
		t.Fatal(err)
	}
	m.refused(verify.BaseMismatch)
}

// With evidence about its own base, the host itself tells what differs.
func TestPullForAnotherEnvironment(t *testing.T) {
	m := enrolled(t)
	m.server.writeBase("second build")
	m.server.other = m.server.baseOf("other")
	if err := m.record(); err != nil {
		t.Fatal(err)
	}
	_, err := m.pull()
	d := (*Denied)(nil)
	if !errors.As(err, &d) || d.Reason() != verify.EnvMismatch || !strings.Contains(err.Error(), "flags/2 = -DNAME=other") || !strings.Contains(err.Error(), "-DNAME=truth") {
		t.Errorf("%v, want reason ENV_MISMATCH and the flag", err)
	}
	m.nothingKept()

	// A server that calls the other base ours does not make it so.
	err = m.with(func(a *Agent) error {
		a.last.Resolved[0].Manifest = m.server.world.BaseManifest
		_, err := a.Pull(t.Context(), Reference{Repository: repository, Tag: "v1"}, m.file())
		return err
	})
	if got := reasonOf(err); got != verify.BaseMismatch {
		t.Errorf("%v, want reason BASE_MISMATCH", err)
	}
	m.nothingKept()
}

func TestPullWithoutARecord(t *testing.T) {
	m := newMachine(newServer(t))
	if _, err := m.enroll(); err != nil {
		t.Fatal(err)
	}
	m.refused(verify.StaleHostRecord)
}

// A record of another boot says nothing of this one.
func TestPullAfterReboot(t *testing.T) {
	m := enrolled(t)
	err := m.with(func(a *Agent) error {
		a.record.BootID = "5a1a3b52-8a38-4c7c-9f0e-6a4a8f6f2c11"
		_, err := a.measured(m.server.product.ID)
		return err
	})
	if got := reasonOf(err); got != verify.StaleHostRecord {
		t.Errorf("%v, want reason STALE_HOST_RECORD", err)
	}
}

func TestPullWithARecordTooOld(t *testing.T) {
	m := enrolled(t)
	m.site("maxRecordAge: 1s\nminimumAssurance: {host: signed, base: built}\n")
	err := m.with(func(a *Agent) error {
		a.last.Received = a.last.Received.Add(-time.Minute)
		_, err := a.Pull(t.Context(), Reference{Repository: repository, Tag: "v1"}, m.file())
		return err
	})
	if got := reasonOf(err); got != verify.StaleHostRecord {
		t.Errorf("%v, want reason STALE_HOST_RECORD", err)
	}
	m.nothingKept()
}

// The host's own minimums are in its state directory.
func TestPullAsksForMoreThanTheServer(t *testing.T) {
	m := enrolled(t)
	m.site("maxRecordAge: 24h\nminimumAssurance: {host: signed, base: reproduced}\n")
	m.refused(verify.LowAssurance)
	m.site("maxRecordAge: never\n")
	if _, err := m.pull(); err == nil || !strings.Contains(err.Error(), siteFile) {
		t.Errorf("%v, want that %s is refused", err, siteFile)
	}
	m.nothingKept()
}

func (m *machine) site(doc string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.state, siteFile), []byte(doc), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func TestPullFromARepositoryOfNoProduct(t *testing.T) {
	m := enrolled(t)
	err := m.with(func(a *Agent) error {
		_, err := a.Pull(t.Context(), Reference{Repository: "lib/other", Tag: "v1"}, m.file())
		return err
	})
	if got := reasonOf(err); got != verify.ForbiddenRole {
		t.Errorf("%v, want reason FORBIDDEN_ROLE", err)
	}
}

// The server's own denial reaches the operator as it was said.
func TestPullDeniedByTheServer(t *testing.T) {
	for _, part := range []string{"/manifests/", "/blobs/"} {
		m := enrolled(t)
		m.server.before = func(w http.ResponseWriter, path string) bool {
			if !strings.Contains(path, part) {
				return false
			}
			api.WriteOCIError(w, api.Errorf(http.StatusForbidden, api.CodeDenied, "ENV_MISMATCH: flags/3: want -O2, got -O3 (decision d-1)"))
			return true
		}
		_, err := m.pull()
		var e *api.Error
		if !errors.As(err, &e) || e.Status != http.StatusForbidden || !strings.Contains(e.Message, "flags/3") {
			t.Errorf("%s: %v, want the server's words", part, err)
		}
		m.nothingKept()
	}
}

// A redirect is followed nowhere: the bytes come from the pinned server.
func TestPullRedirected(t *testing.T) {
	m := enrolled(t)
	m.server.before = func(w http.ResponseWriter, path string) bool {
		if strings.Contains(path, "/blobs/") {
			w.Header().Set("Location", "/v2/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	if _, err := m.pull(); err == nil {
		t.Error("followed a redirect")
	}
	m.nothingKept()
}

func TestPullInterrupted(t *testing.T) {
	m := enrolled(t)
	ctx, cancel := context.WithCancel(t.Context())
	m.server.before = func(w http.ResponseWriter, path string) bool {
		if strings.Contains(path, "/blobs/") {
			cancel()
			return true
		}
		return false
	}
	err := m.with(func(a *Agent) error {
		_, err := a.Pull(ctx, Reference{Repository: repository, Tag: "v1"}, m.file())
		return err
	})
	if err == nil {
		t.Error("kept a patch although it was interrupted")
	}
	m.nothingKept()
}

func TestPullIntoNoDirectory(t *testing.T) {
	m := enrolled(t)
	err := m.with(func(a *Agent) error {
		_, err := a.Pull(t.Context(), Reference{Repository: repository, Tag: "v1"}, filepath.Join(m.out, "none", "f"))
		return err
	})
	if err == nil {
		t.Error("kept a file in a directory that is not there")
	}
}

// A refused pull leaves the file of an earlier one as it was.
func TestPullKeepsTheOldFile(t *testing.T) {
	m := enrolled(t)
	if err := os.WriteFile(m.file(), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.server.patch = []byte("a l1ve patch")
	if _, err := m.pull(); reasonOf(err) != verify.Corrupt {
		t.Errorf("%v, want reason CORRUPT", err)
	}
	if b, err := os.ReadFile(m.file()); err != nil || string(b) != "old" {
		t.Errorf("the old file holds %q (%v)", b, err)
	}
}

func TestOnlyKnownKindsAreDelivered(t *testing.T) {
	if r := deliverable(&attest.LivePatch{Kind: attest.PatchELFTest}); r != nil {
		t.Error(r)
	}
	for _, p := range []*attest.LivePatch{nil, {}, {Kind: "kernel-fullpatch"}} {
		if r := deliverable(p); r == nil || r.Reason != verify.Corrupt {
			t.Errorf("kind of %+v: %v, want CORRUPT", p, r)
		}
	}
}

func TestParsePatchRefuses(t *testing.T) {
	good := string(enrolled(t).server.manifest)
	if _, r := parsePatch([]byte(good)); r != nil {
		t.Fatal(r)
	}
	for name, tc := range map[string]struct {
		from, to string
		want     verify.Reason
	}{
		"another type":      {attest.ArtifactPatch, attest.ArtifactBase, verify.SubjectMismatch},
		"no type":           {`"artifactType"`, `"kind"`, verify.SubjectMismatch},
		"an index":          {mediaManifest, "application/vnd.oci.image.index.v1+json", verify.Corrupt},
		"version 1":         {`"schemaVersion":2`, `"schemaVersion":1`, verify.Corrupt},
		"no layer":          {`"layers"`, `"blobs"`, verify.Corrupt},
		"another algorithm": {`"subject":{"digest":"sha256:`, `"subject":{"digest":"sha512:`, verify.Corrupt},
		"no size":           {`"size":12`, `"size":0`, verify.Corrupt},
		"a size below zero": {`"size":12`, `"size":-1`, verify.Corrupt},
		"a size too large":  {`"size":12`, `"size":268435457`, verify.Corrupt},
		"trailing data":     {good, good + "{}", verify.Corrupt},
		"null":              {good, "null", verify.Corrupt},
	} {
		if !strings.Contains(good, tc.from) {
			t.Fatalf("%q is not in %s", tc.from, good)
		}
		if art, r := parsePatch([]byte(strings.Replace(good, tc.from, tc.to, 1))); r == nil || r.Reason != tc.want {
			t.Errorf("%s: %+v, %v; want %s", name, art, r, tc.want)
		}
	}
}

func FuzzParsePatch(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"` + mediaManifest + `","artifactType":"` + attest.ArtifactPatch + `","layers":[{"digest":"` + string(attest.DigestOf(nil)) + `","size":1}],"subject":{"digest":"` + string(attest.DigestOf(nil)) + `","size":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		art, r := parsePatch(b)
		if r == nil && (art.Manifest != attest.DigestOf(b) || art.File == "" || art.FileSize <= 0 || art.Type != attest.ArtifactPatch) {
			t.Errorf("%q is read as %+v", b, art)
		}
	})
}

func TestParseReferenceRefuses(t *testing.T) {
	a := &Agent{me: Identity{Server: "https://p.example:8443"}}
	for _, text := range []string{
		"", "lib/greet", "lib/greet:", ":v1", "lib/greet@", "lib/greet@sha256:12", "Lib/greet:v1", "../greet:v1", "lib//greet:v1",
		"other.example:8443/lib/greet:v1", "https://p.example:8443/lib/greet:v1", "lib/greet:v1/../../x", "lib/greet:" + strings.Repeat("a", 129),
		"lib/greet@sha512:" + strings.Repeat("a", 128), "lib/greet?x:v1", "lib/greet:v1#x", "lib/greet:v1\n",
	} {
		if ref, err := a.ParseReference(text); err == nil {
			t.Errorf("%q is read as %+v", text, ref)
		}
	}
	d := string(attest.DigestOf(nil))
	for text, want := range map[string]Reference{
		"lib/greet:v1":                  {Repository: "lib/greet", Tag: "v1"},
		"p.example:8443/lib/greet:v1":   {Repository: "lib/greet", Tag: "v1"},
		"p.example:8443/lib/greet@" + d: {Repository: "lib/greet", Digest: attest.Digest(d)},
	} {
		if ref, err := a.ParseReference(text); err != nil || ref != want {
			t.Errorf("%q is read as %+v, %v", text, ref, err)
		}
	}
}
