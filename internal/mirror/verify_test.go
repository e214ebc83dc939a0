package mirror_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/verify"
)

// look verifies a mirror as somebody with a memory does.
func (o *origin) look(path string, memory *mirror.Memory) (*mirror.Report, error) {
	o.t.Helper()
	l, err := mirror.Open(path)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return mirror.Verify(o.t.Context(), l, o.policy, memory, time.Now())
}

// mustLook asks for a report that says something, or nothing but good.
func (o *origin) mustLook(path string, memory *mirror.Memory, code mirror.Code, says string) {
	o.t.Helper()
	r, err := o.look(path, memory)
	must(o.t, err)
	if code == "" {
		if !r.Verified() {
			o.t.Errorf("%v %v", r.Problems, r.Refused)
		}
		return
	}
	if r.Verified() || !slices.ContainsFunc(r.Problems, func(p mirror.Problem) bool { return p.Code == code && strings.Contains(p.Fact, says) }) {
		o.t.Errorf("%v, want %s … %q", r.Problems, code, says)
	}
}

func TestVerifyBothForms(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for _, name := range []string{"mirror", "mirror.tar"} {
		path := filepath.Join(t.TempDir(), name)
		o.mustPull(path)
		o.mustLook(path, nil, "", "")
	}
}

// One byte of one file, any file: refused. So is a file that is gone.
func TestEveryFileCounts(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.revoke(attest.RevokePayload, attest.DigestOf([]byte("nothing")))
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	for name, content := range tree(t, dir) {
		path := filepath.Join(dir, name)
		b := []byte(content)
		b[len(b)/2] ^= 1
		must(t, os.WriteFile(path, b, 0o644))
		if r, err := o.look(dir, nil); err == nil && r.Verified() {
			t.Errorf("%s: a changed byte is not seen", name)
		} else if err == nil && r.Problems[0].Code != mirror.Corrupt {
			t.Errorf("%s: a changed byte is %s", name, r.Problems[0].Code)
		}
		must(t, os.Remove(path))
		if r, err := o.look(dir, nil); err == nil && r.Verified() {
			t.Errorf("%s: nobody misses it", name)
		} else if err == nil && r.Problems[0].Code != mirror.Missing {
			t.Errorf("%s: when it is gone it is %s", name, r.Problems[0].Code)
		}
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
	o.mustLook(dir, nil, "", "")
}

// index.json is what others read: it says what the record does, and no more.
func TestIndexSaysWhatTheRecordDoes(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	path := filepath.Join(dir, "index.json")
	index := string(mustRead(t, path))
	for name, lie := range map[string]string{
		"another name":    strings.Replace(index, "fix-1", "fix-2", 1),
		"another's name":  strings.Replace(strings.Replace(index, `"latest"`, `"x"`, 1), `"base"`, `"latest"`, 1),
		"one more member": strings.Replace(index, `"schemaVersion":2`, `"annotations":{},"schemaVersion":2`, 1),
	} {
		must(t, os.WriteFile(path, []byte(lie), 0o644))
		refused(t, mirror.Corrupt, "does not list what", func() error { return only(mirror.Open(dir)) })
		if lie == index {
			t.Errorf("%s: nothing was changed", name)
		}
	}
}

// rewrite changes the record or the log entries of a mirror and makes
// everything that hangs on it fit again, as somebody in between could.
func rewrite(t *testing.T, dir string, change func(r *mirror.Record, e *mirror.Entries)) {
	t.Helper()
	l, err := mirror.Open(dir)
	must(t, err)
	must(t, l.Close())
	r, e := *l.Record, *l.Entries
	change(&r, &e)
	put := func(mediaType string, v any) mirror.Descriptor {
		b, err := strictjson.Canonical(v)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", attest.DigestOf(b).Hex()), b, 0o644))
		return mirror.Descriptor{MediaType: mediaType, Digest: attest.DigestOf(b), Size: int64(len(b))}
	}
	if r.Log != nil {
		log := *r.Log
		log.Entries = put(mirror.MediaEntries, e)
		r.Log = &log
	}
	record := put(mirror.MediaRecord, r)
	raw := mustRead(t, filepath.Join(dir, "blobs", "sha256", record.Digest.Hex()))
	m, index, err := mirror.Reindex(&r, raw)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", attest.DigestOf(m).Hex()), m, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644))
}

// Somebody in between who can hash is refused for what is missing in substance.
func TestRewrittenMirrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(r *mirror.Record, e *mirror.Entries)
		code   mirror.Code
		says   string
	}{
		"nothing":         {func(*mirror.Record, *mirror.Entries) {}, "", ""},
		"a dropped entry": {func(_ *mirror.Record, e *mirror.Entries) { e.Entries = e.Entries[1:] }, mirror.NotLogged, "has no log entry"},
		"all entries":     {func(_ *mirror.Record, e *mirror.Entries) { e.Entries = []mirror.Entry{} }, mirror.NotLogged, "has no log entry"},
		"another's leaf": {func(_ *mirror.Record, e *mirror.Entries) {
			e.Entries = slices.Clone(e.Entries)
			e.Entries[0].Leaf, e.Entries[0].Proof = e.Entries[1].Leaf, e.Entries[1].Proof
		}, mirror.NotLogged, "is not that of bundle"},
		"another's proof": {func(_ *mirror.Record, e *mirror.Entries) {
			e.Entries = slices.Clone(e.Entries)
			e.Entries[0].Proof = e.Entries[1].Proof
		}, mirror.NotLogged, "does not lead to the root"},
		"a larger log": {func(r *mirror.Record, _ *mirror.Entries) {
			log := *r.Log
			log.Size++
			r.Log = &log
		}, mirror.Corrupt, "its checkpoint says"},
		"a checkpoint of nobody": {func(r *mirror.Record, _ *mirror.Entries) {
			log := *r.Log
			log.Checkpoint = mirror.Descriptor{MediaType: mirror.MediaCheckpoint, Digest: r.TrustedRoot.Digest, Size: r.TrustedRoot.Size}
			r.Log = &log
		}, mirror.NotLogged, "not signed by a trusted log"},
		"another size of a blob":   {func(r *mirror.Record, _ *mirror.Entries) { r.TrustedRoot.Size-- }, mirror.Corrupt, "bytes, want"},
		"a policy of another size": {func(r *mirror.Record, _ *mirror.Entries) { r.TrustPolicy.Size++ }, mirror.Corrupt, "bytes, want"},
		"another size of a manifest": {func(r *mirror.Record, _ *mirror.Entries) {
			r.Repositories = slices.Clone(r.Repositories)
			r.Repositories[0].Manifests = slices.Clone(r.Repositories[0].Manifests)
			r.Repositories[0].Manifests[0].Size++
		}, mirror.Corrupt, "bytes, want"},
		"another product": {func(r *mirror.Record, _ *mirror.Entries) {
			r.Repositories = slices.Clone(r.Repositories)
			r.Repositories[0].Product = "4b1f4f0e-6b1c-4c55-8e0c-2c4c1f5d8a11"
		}, mirror.Untrusted, "has no product"},
		"another repository": {func(r *mirror.Record, _ *mirror.Entries) {
			r.Repositories = slices.Clone(r.Repositories)
			r.Repositories[0].Repository = "lib/other"
		}, mirror.Untrusted, "has no product"},
		"another type": {func(r *mirror.Record, _ *mirror.Entries) {
			r.Repositories = slices.Clone(r.Repositories)
			repo := &r.Repositories[0]
			repo.Manifests = slices.Clone(repo.Manifests)
			repo.Manifests[0].ArtifactType = "application/vnd.other"
		}, mirror.Corrupt, "record says"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			dir := filepath.Join(t.TempDir(), "mirror")
			o.mustPull(dir)
			rewrite(t, dir, c.change)
			o.mustLook(dir, nil, c.code, c.says)
		})
	}
}

// A bundle whose signer nobody trusts is refused, unless the mirror said so
// itself when it was made.
func TestUnlistedVoidBundleIsRefused(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := o.world.Said()[0]
	o.attach(s.About.Manifest, o.bundle(o.makers.Statement(s.Type, s.About.Manifest, s.About.File, s.Predicate), o.makers.Stranger()))
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	o.mustLook(dir, nil, "", "")
	rewrite(t, dir, func(r *mirror.Record, _ *mirror.Entries) {
		r.Repositories = slices.Clone(r.Repositories)
		r.Repositories[0].Void = []attest.Digest{}
	})
	r, err := o.look(dir, nil)
	must(t, err)
	if r.Verified() || len(r.Refused) != 1 || r.Refused[0].Refusal.Reason != verify.UntrustedSigner {
		t.Errorf("%+v", r.Refused)
	}
}

// Who verified a mirror takes no older one, none that forgot a revocation, none
// without its log, and none whose continuation it cannot tell.
func TestMemory(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	tmp := t.TempDir()
	old, dir := filepath.Join(tmp, "old"), filepath.Join(tmp, "mirror")
	o.mustPull(old)
	o.mustPull(dir)
	memory := &mirror.Memory{}
	o.mustLook(dir, memory, "", "")
	o.revoke(attest.RevokeSubject, o.world.PatchManifest)
	o.mustPull(dir)
	o.mustLook(dir, memory, "", "")
	memory = remembered(t, memory)
	o.mustLook(old, memory, mirror.RolledBack, "the checkpoint of log origin.example")
	o.mustLook(old, memory, mirror.RolledBack, "revocation")
	o.mustLook(dir, memory, "", "")

	o.revoke(attest.RevokePayload, attest.DigestOf([]byte("nothing")))
	anew := filepath.Join(tmp, "anew")
	o.mustPull(anew)
	o.mustLook(anew, memory, mirror.Unshown, "no proof that it goes on")
	size := memory.Logs[0].Size
	_, err := mirror.Pull(t.Context(), o.source(), []mirror.Want{{Repository: repo}}, anew, &mirror.PullOptions{Since: []int64{size}})
	must(t, err)
	forged := remembered(t, memory)
	forged.Logs[0].Root = bytes.Repeat([]byte{7}, 32)
	o.mustLook(anew, forged, mirror.Forked, "do not make the root")
	o.mustLook(anew, memory, "", "")

	without := filepath.Join(tmp, "without")
	_, err = mirror.Pull(t.Context(), o.source(), []mirror.Want{{Repository: repo}}, without, &mirror.PullOptions{WithoutLog: true})
	must(t, err)
	o.mustLook(without, nil, "", "")
	o.mustLook(without, memory, mirror.Unshown, "no checkpoint")
	memory.PolicyVersion = 2
	o.mustLook(anew, memory, mirror.RolledBack, "trust policy version 1")
}

// remembered is a memory after it was kept in a file.
func remembered(t *testing.T, m *mirror.Memory) *mirror.Memory {
	t.Helper()
	b, err := m.Encode()
	must(t, err)
	again, err := mirror.ParseMemory(b)
	must(t, err)
	return again
}

// A refused mirror teaches nothing.
func TestMemoryLearnsOnlyWhatVerified(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	rewrite(t, dir, func(_ *mirror.Record, e *mirror.Entries) { e.Entries = []mirror.Entry{} })
	memory := &mirror.Memory{}
	o.mustLook(dir, memory, mirror.NotLogged, "")
	if memory.PolicyVersion != 0 || len(memory.Logs) != 0 {
		t.Errorf("learned %+v", memory)
	}
}

func FuzzParseRecord(f *testing.F) {
	d := `{"digest":"sha256:` + strings.Repeat("a", 64) + `","mediaType":"%s","size":2}`
	f.Add([]byte(fmt.Sprintf(`{"repositories":[{"detached":[],"manifests":[],"product":"p","repository":"a/b","revocations":[],"tags":[],"void":[]}],"schemaVersion":1,"trustPolicy":`+d+`,"trustedRoot":`+d+`}`, mirror.MediaPolicy, mirror.MediaRoot)))
	f.Add([]byte(`{"schemaVersion":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := mirror.ParseRecord(b)
		if err != nil {
			return
		}
		again, err := strictjson.Canonical(r)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%v: %s reads, and is written as %s", err, b, again)
		}
		if !json.Valid(b) {
			t.Error("no JSON")
		}
	})
}
