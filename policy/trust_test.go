package policy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

func TestTrust(t *testing.T) {
	s := newScene(t)
	other := s.Product("libs/other")
	other.Authorities = map[attest.Role][]string{attest.RoleBase: {s.Signer("elsewhere").Name}}
	trust := policy.NewTrust(s.TrustPolicy(s.product, other), "sha256:policy")
	if trust.Envelope() != "sha256:policy" || trust.Version() != 1 {
		t.Errorf("envelope %s, version %d", trust.Envelope(), trust.Version())
	}
	if p, ok := trust.ProductFor("libs/other"); !ok || p.ID != other.ID {
		t.Errorf("product of libs/other: %v", p)
	}
	if p, ok := trust.Product(s.product.ID); !ok || p.Repository != "libs/demo" {
		t.Errorf("product %s: %v", s.product.ID, p)
	}
	if _, ok := trust.ProductFor("libs/none"); ok {
		t.Error("a repository without a product has one")
	}
	w := s.World(s.product, "one")
	base := s.admit(t, s.Say(w.Said()[2]), w.Said()[2].About)
	for _, tt := range []struct {
		product string
		role    attest.Role
		e       *verify.Evidence
		want    bool
	}{
		{s.product.ID, attest.RoleBase, base, true},
		{s.product.ID, attest.RolePatch, base, false},
		{other.ID, attest.RoleBase, base, false},
		{"no product", attest.RoleBase, base, false},
		{s.product.ID, "no role", base, false},
		{s.product.ID, attest.RoleBase, nil, false},
		{s.product.ID, attest.RoleBase, new(verify.Evidence), false},
	} {
		if got := trust.Trusted(tt.product, tt.role, tt.e); got != tt.want {
			t.Errorf("product %s, role %s: %t", tt.product, tt.role, got)
		}
	}
	if !trust.Signs(s.product.ID, base) || trust.Signs(other.ID, base) || trust.Signs("no product", base) || trust.Signs(s.product.ID, nil) {
		t.Error("whose signers are whose is mixed up")
	}
}

// A key in a policy made by hand that does not parse is trusted with nothing.
func TestTrustSkipsKeysThatAreNone(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	base := s.admit(t, s.Say(w.Said()[2]), w.Said()[2].About)
	p := s.TrustPolicy(s.product)
	for i := range p.Signers {
		p.Signers[i].Keys[0].Key = "not a key"
	}
	if policy.NewTrust(p, "").Signs(s.product.ID, base) {
		t.Error("a key that does not parse is trusted")
	}
}

// A role there is not, in a policy made by hand, is nobody's.
func TestTrustKnowsItsRoles(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	base := s.admit(t, s.Say(w.Said()[2]), w.Said()[2].About)
	p := s.TrustPolicy(s.product)
	p.Products[0].Authorities = map[attest.Role][]string{"no role": {string(attest.RoleBase)}}
	trust := policy.NewTrust(p, "")
	if trust.Trusted(s.product.ID, "no role", base) || trust.Signs(s.product.ID, base) {
		t.Error("a role there is not is somebody's")
	}
	p.Products[0].Authorities = map[attest.Role][]string{attest.RoleAdjudicator: {string(attest.RoleBase)}}
	if !policy.NewTrust(p, "").Signs(s.product.ID, base) {
		t.Error("a signer with a role is none")
	}
}

func TestRoleFor(t *testing.T) {
	const image = "application/vnd.oci.image.config.v1+json"
	types := []string{attest.TypeEnvironment, attest.TypeBase, attest.TypeLivePatch, attest.TypeProvenance, attest.TypeHostRecord, "https://example.com/other"}
	artifacts := []string{attest.ArtifactEnv, attest.ArtifactBase, attest.ArtifactPatch, attest.ArtifactRebuild, attest.ArtifactInputs, attest.ArtifactBundle, image, ""}
	want := map[[2]string]attest.Role{
		{attest.TypeEnvironment, attest.ArtifactEnv}:  attest.RoleBase,
		{attest.TypeBase, attest.ArtifactBase}:        attest.RoleBase,
		{attest.TypeLivePatch, attest.ArtifactPatch}:  attest.RolePatch,
		{attest.TypeProvenance, attest.ArtifactPatch}: attest.RolePatch,
		{attest.TypeProvenance, attest.ArtifactBase}:  attest.RoleBase,
		{attest.TypeProvenance, image}:                attest.RoleBuilder,
		{attest.TypeProvenance, ""}:                   attest.RoleBuilder,
	}
	for _, typ := range types {
		for _, artifact := range artifacts {
			role, ok := policy.RoleFor(typ, artifact)
			expected, has := want[[2]string{typ, artifact}]
			if ok != has || ok && role != expected {
				t.Errorf("%s about %q: role %q, %t", typ, artifact, role, ok)
			}
		}
	}
	if role, ok := policy.RoleFor(attest.TypeRevocation, image); !ok || role != attest.RoleRevocation {
		t.Errorf("revocations are of role %q", role)
	}
}

func TestProductOf(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	for _, said := range w.Said() {
		want := s.product.ID
		if said.Type == attest.TypeEnvironment {
			want = ""
		}
		if got := policy.ProductOf(s.admit(t, s.Say(said), said.About)); got != want {
			t.Errorf("%s: product %q, want %q", said.Name, got, want)
		}
	}
	if policy.ProductOf(nil) != "" {
		t.Error("nothing is of a product")
	}
}

// The pool keeps what is proven, once.
func TestPool(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	said := w.Said()[4]
	raw := s.Say(said)
	ev := s.admit(t, raw, said.About)
	s.admit(t, raw, said.About)
	s.pool.Add(nil)
	s.pool.Add(new(verify.Evidence))
	if n := len(s.pool.About(w.EnvManifest)); n != 1 {
		t.Errorf("%d statements about the environment, want 1", n)
	}
	if all := s.pool.Environment(w.EnvFile); len(all) != 1 || all[0] != ev {
		t.Errorf("by its digest the environment is %v", all)
	}
	if len(s.pool.About("")) != 0 || len(s.pool.Environment("")) != 0 {
		t.Error("something is known about nothing")
	}
}

// A base made by hand, or by another than the authority, is no base of a host.
func TestOnlyTrustedBasesMatch(t *testing.T) {
	_, w, f := good(t)
	r := w.Record.Running[0]
	b := f.Patch.Base
	if !b.Matches(r) {
		t.Fatal("the good base does not match")
	}
	byHand := &policy.Base{Artifact: b.Artifact, Statement: b.Statement, Provenance: b.Provenance, Environment: b.Environment, Builder: b.Builder}
	if byHand.Matches(r) {
		t.Error("a base made by hand matches")
	}
	for name, change := range map[string]func(r *attest.Running){
		"product":  func(r *attest.Running) { r.Product = verifytest.Nonce },
		"kind":     func(r *attest.Running) { r.Measurement.Kind = "" },
		"digest":   func(r *attest.Running) { r.Measurement.Digest = attest.DigestOf(nil) },
		"build-id": func(r *attest.Running) { r.Measurement.BuildID = "" },
	} {
		other := r
		change(&other)
		if b.Matches(other) {
			t.Errorf("another %s matches", name)
		}
	}
}

// docs/spec/reasons.md lists the rules as they are.
func TestRulesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "spec", "reasons.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| `[A-Z_]+` \\| (.+?) \\|$").FindAllStringSubmatch(string(page), -1) {
		got = append(got, row[1]+": "+row[2])
	}
	for _, c := range policy.Explain(nil) {
		want = append(want, c.Rule+": "+c.Criterion)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/spec/reasons.md (-code +page):\n%s", diff)
	}
}
