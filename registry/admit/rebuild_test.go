package admit_test

import (
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// A rebuild is admitted by a rebuilder of the product, with what it left behind
// there, as it says.
func TestRebuilds(t *testing.T) {
	y := newYard(t)
	y.Signer("north").Independence = attest.Independence{Operator: "acme"}
	y.Signer("panel")
	p := y.TrustPolicy(y.Product)
	p.Version, p.Roots = 2, attest.Roots{Threshold: 1, Keys: []string{y.Root.Public.Base64()}}
	p.Products[0].Authorities[attest.RoleRebuilder] = []string{"north"}
	p.Products[0].Authorities[attest.RoleAdjudicator] = []string{"panel"}
	y.Trust(p)
	w := y.World("one")
	y.base(w)
	about := verify.Artifact{Manifest: w.PatchManifest, File: w.PatchFile.Digest}
	log, out := []byte("the log"), []byte("what came out")
	left := func(subject attest.Digest, typ string, files ...[]byte) attest.Digest {
		var layers []doc
		for _, f := range files {
			y.files[attest.DigestOf(f)] = f
			layers = append(layers, descriptor(octets, f))
		}
		return y.PutManifest(y.encode(manifest(typ, octets, files[0]).with("layers", layers).with("subject", subjectOf(subject))))
	}
	whole := left(w.PatchManifest, attest.ArtifactRebuild, log, out)
	says := func(who, typ string, about verify.Artifact, predicate any) []byte {
		return y.Authority.Bundle(y.Statement(typ, about.Manifest, about.File, predicate), y.Signer(who))
	}
	differs := func(change func(*attest.Rebuild)) *attest.Rebuild {
		r := &attest.Rebuild{
			Product: w.Product, Environment: w.EnvFile, Result: attest.Differs, Category: "code", Log: attest.DigestOf(log), Output: whole,
			Compared: &attest.Compared{File: attest.Pair{Wanted: w.PatchFile.Digest, Got: attest.DigestOf(out)}},
			Run:      attest.Run{ID: "1", Builder: "https://rebuilder.example"},
		}
		change(r)
		return r
	}
	as := func(output attest.Digest) *attest.Rebuild {
		return differs(func(r *attest.Rebuild) { r.Output = output })
	}
	verdict := &attest.Adjudication{Product: w.Product, Verdict: attest.DissentDismissed, Outputs: []attest.Digest{attest.DigestOf(out)}, Reason: "looked at"}
	none := func(*attest.Rebuild) {}
	environment := verify.Artifact{Manifest: w.EnvManifest, File: w.EnvFile}
	for name, c := range map[string]struct {
		bundle []byte
		about  attest.Digest
		want   verify.Reason // "": admitted
		words  []string
	}{
		"it differs":                {says("north", attest.TypeRebuild, about, differs(none)), w.PatchManifest, "", nil},
		"without its output":        {says("north", attest.TypeRebuild, about, as("")), w.PatchManifest, "", nil},
		"in another environment":    {says("north", attest.TypeRebuild, about, differs(func(r *attest.Rebuild) { r.Environment = attest.DigestOf(out) })), w.PatchManifest, "", nil},
		"an adjudication":           {says("panel", attest.TypeAdjudication, about, verdict), w.PatchManifest, "", nil},
		"by its publisher":          {says("patch", attest.TypeRebuild, about, differs(none)), w.PatchManifest, verify.UntrustedSigner, []string{"role rebuilder"}},
		"an adjudication by others": {says("north", attest.TypeAdjudication, about, verdict), w.PatchManifest, verify.UntrustedSigner, []string{"role adjudicator"}},
		"of another product":        {says("north", attest.TypeRebuild, about, differs(func(r *attest.Rebuild) { r.Product = "6f1c0b0f-3c62-4a3e-9d3b-3f2f6f8f1a10" })), w.PatchManifest, verify.SubjectMismatch, []string{"product"}},
		"of an environment": {says("north", attest.TypeRebuild, environment, differs(func(r *attest.Rebuild) { r.Compared.File.Wanted = w.EnvFile })),
			w.EnvManifest, verify.SubjectMismatch, []string{"says nothing about"}},
		"with an output that is nowhere":     {says("north", attest.TypeRebuild, about, as(attest.DigestOf([]byte("nowhere")))), w.PatchManifest, verify.NoAttestation, []string{"push what the rebuild left behind first"}},
		"with an output of another type":     {says("north", attest.TypeRebuild, about, as(w.PatchManifest)), w.PatchManifest, verify.SubjectMismatch, []string{attest.ArtifactPatch}},
		"with an output of the base":         {says("north", attest.TypeRebuild, about, as(left(w.BaseManifest, attest.ArtifactRebuild, log, out))), w.PatchManifest, verify.SubjectMismatch, []string{string(w.BaseManifest)}},
		"with an output without the log":     {says("north", attest.TypeRebuild, about, as(left(w.PatchManifest, attest.ArtifactRebuild, out))), w.PatchManifest, verify.SubjectMismatch, []string{"the log"}},
		"with an output without what it got": {says("north", attest.TypeRebuild, about, as(left(w.PatchManifest, attest.ArtifactRebuild, log))), w.PatchManifest, verify.SubjectMismatch, []string{"what came out"}},
	} {
		_, err := y.put(y.carrier(c.bundle, c.about))
		if c.want != "" {
			refused(t, name, err, c.want, c.words...)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := y.put(y.carrier(says("north", attest.TypeRebuild, about, differs(none)), w.PatchManifest)); err != nil || !got.Bundle.Counts {
		t.Errorf("it counts: %+v, %v", got, err)
	}
	y.RevokeIt(attest.RevokeEnvironment, w.EnvFile)
	y.Authority.Now = y.Authority.Now.Add(time.Minute)
	_, err := y.put(y.carrier(says("north", attest.TypeRebuild, about, differs(none)), w.PatchManifest))
	refused(t, "the environment is revoked", err, verify.Revoked)
}

// What was said of a rebuild takes effect at its record: a pause that a server
// counts from there is the same after the state was made again.
func TestRebuildEffect(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	_ = y.Signer("north")
	p := y.TrustPolicy(y.Product)
	p.Version, p.Roots = 2, attest.Roots{Threshold: 1, Keys: []string{y.Root.Public.Base64()}}
	p.Products[0].Authorities[attest.RoleRebuilder] = []string{"north"}
	y.Trust(p)
	for _, s := range said(w) {
		y.SayIt(s)
	}
	host, key := y.Enrol("a")
	y.Record(host, key, 1, w)
	for i := range 2 {
		y.Journal.Time = y.Now.Add(time.Duration(i+1) * time.Hour)
		r := &attest.Rebuild{
			Product: w.Product, Environment: w.EnvFile, Result: attest.Differs, Category: "code", Log: attest.DigestOf(nil), Output: attest.DigestOf(nil),
			Compared: &attest.Compared{File: attest.Pair{Wanted: w.PatchFile.Digest, Got: attest.DigestOf(nil)}},
			Run:      attest.Run{ID: y.Journal.Time.String(), Builder: "https://rebuilder.example"},
		}
		y.SayIt(verifytest.Said{Role: "north", Type: attest.TypeRebuild, About: verify.Artifact{Manifest: w.PatchManifest, File: w.PatchFile.Digest}, Predicate: r})
	}
	again, err := y.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	want := y.Now.Add(26 * time.Hour)
	for name, s := range map[string]*state.State{"at once": y.State, "again": again} {
		f, ok := s.Facts(host, repo, w.PatchManifest, y.Journal.Time)
		if !ok || f.Patch.Dispute() == nil || !f.Patch.Dispute().Until.Equal(want) {
			t.Errorf("%s: %t, %+v, want until %s", name, ok, f.Patch.Dispute(), want)
		}
		if all := s.Disputed(); len(all) != 1 || all[0].Artifact != w.PatchManifest || all[0].Repository != repo || all[0].Dispute.Asked {
			t.Errorf("%s: in dispute are %+v", name, all)
		}
	}
}
