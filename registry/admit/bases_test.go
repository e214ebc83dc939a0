package admit_test

import (
	"slices"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// accept has the trust policy accept these bases of fit.
func (y *yard) accept(bases ...string) {
	y.t.Helper()
	y.Product.FitBases = bases
	y.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: y.Put(y.Policy(2, y.Product)), By: y.Admin})
}

// foreign puts the manifests of a base of others and a patch for it.
func (y *yard) foreign(name string) *verifytest.World {
	y.t.Helper()
	w := y.World(name)
	w.BaseManifest = y.PutManifest(statetest.Manifest(attest.ArtifactBase, w.BaseFile, ""))
	w.Patch.Base = w.BaseManifest
	w.PatchManifest = y.PutManifest(statetest.Manifest(attest.ArtifactPatch, w.PatchFile, w.BaseManifest))
	return w
}

// say has a statement put as its signer says it, and kept where it is admitted.
func (y *yard) say(s verifytest.Said) error {
	y.t.Helper()
	bundle := y.Say(s)
	got, err := y.put(y.carrier(bundle, s.About.Manifest))
	if err == nil && !got.Bundle.Counts {
		y.t.Errorf("%s counts for nothing", s.Name)
	}
	if err == nil {
		y.Admit(bundle, s.About.Manifest, s.Type)
	}
	return err
}

// derived puts the artifact of a patch's own environment, in an image of its
// own, and returns what is to be said.
func (y *yard) derived(w *verifytest.World, change func(*attest.Environment)) *verifytest.Derivation {
	y.t.Helper()
	image := y.PutManifest(statetest.Manifest("", attest.File{Digest: attest.DigestOf([]byte("derived layer " + w.Name)), Size: 3}, ""))
	d, err := w.Derived(func(e *attest.Environment) {
		e.BuilderImage = image
		change(e)
	})
	if err != nil {
		y.t.Fatal(err)
	}
	raw, err := d.Environment.Canonical()
	if err != nil {
		y.t.Fatal(err)
	}
	manifest := y.PutManifest(statetest.Manifest(attest.ArtifactEnv, attest.File{Digest: d.Patch.Environment, Size: int64(len(raw))}, image))
	for i := range d.Said {
		if d.Said[i].Name == "patch environment" {
			d.Said[i].About.Manifest = manifest
		}
	}
	return d
}

func of(d *verifytest.Derivation, name string) verifytest.Said {
	return d.Said[slices.IndexFunc(d.Said, func(s verifytest.Said) bool { return s.Name == name })]
}

func TestImportsAreAdmitted(t *testing.T) {
	y := newYard(t)
	w := y.foreign("one")
	base, i := w.ImportedBase()
	patch, j := w.ImportedPatch()
	other := y.World("two")
	for name, c := range map[string]struct {
		change func() verifytest.Said
		want   verify.Reason
		says   string
	}{
		"another size": {func() verifytest.Said { x := *i; x.File.Size++; s := base; s.Predicate = &x; return s }, verify.SubjectMismatch, "/predicate/file"},
		"another product": {func() verifytest.Said {
			x := *i
			x.Product = "3b241101-e2bb-4255-8caf-4136c566a962"
			s := base
			s.Predicate = &x
			return s
		}, verify.SubjectMismatch, "names product"},
		"a base authority": {func() verifytest.Said { s := base; s.Role = attest.RoleBase; return s }, verify.UntrustedSigner, "role import"},
		"a base as a patch": {func() verifytest.Said {
			s := patch
			x := *i
			x.File = j.File
			x.Chain = j.Chain
			x.Measurements = slices.Clone(i.Measurements)
			x.Measurements[0].Digest = j.File.Digest
			s.Predicate = &x
			return s
		}, verify.SubjectMismatch, "/predicate/kind"},
		"for another base": {func() verifytest.Said {
			s := patch
			x, p := *j, *j.Patch
			p.Base = other.BaseManifest
			x.Patch = &p
			s.Predicate = &x
			return s
		}, verify.BaseMismatch, "/predicate/base"},
		"for another file": {func() verifytest.Said {
			s := patch
			x, p := *j, *j.Patch
			p.BaseFile = other.BaseFile.Digest
			x.Patch = &p
			s.Predicate = &x
			return s
		}, verify.BaseMismatch, "/predicate/baseFile"},
		"about an environment": {func() verifytest.Said {
			s := base
			s.About = verify.Artifact{Manifest: other.EnvManifest, File: other.EnvFile}
			x := *i
			x.File.Digest = other.EnvFile
			x.Chain = slices.Clone(i.Chain)
			x.Chain[2].Digest = other.EnvFile
			x.Measurements = slices.Clone(i.Measurements)
			x.Measurements[0].Digest = other.EnvFile
			s.Predicate = &x
			return s
		}, verify.SubjectMismatch, "says nothing about"},
	} {
		refused(t, name, y.say(c.change()), c.want, c.says)
	}
	for _, s := range []verifytest.Said{base, patch} {
		if err := y.say(s); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	refused(t, "base/v1 of a base without an environment", y.say(verifytest.Said{
		Name: "base", Role: attest.RoleBase, Type: attest.TypeBase, About: base.About, Predicate: w.Base,
	}), verify.SubjectMismatch, "no environment")
	refused(t, "a patch nobody vouches for", y.say(y.named(w, "livepatch")), verify.EnvMismatch, "was imported")
}

func TestEquivalenceIsAdmitted(t *testing.T) {
	y := newYard(t)
	y.accept(attest.FitEnvironment, attest.FitEquivalent)
	w := y.World("one")
	y.base(w)
	d := y.derived(w, func(e *attest.Environment) { e.Flags = append(slices.Clone(e.Flags), "-fdata-sections") })
	equivalence, live, build := of(d, "equivalence"), of(d, "livepatch"), of(d, "patch provenance")
	refused(t, "before its environment", y.say(equivalence), verify.NoAttestation, "publish the patches' environment first")
	for _, name := range []string{"patch builder provenance", "patch environment"} {
		if err := y.say(of(d, name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	refused(t, "a patch nobody vouches for", y.say(live), verify.EnvMismatch, "flags/3 = (absent), got -fdata-sections")
	changed := func(change func(*attest.Equivalence)) verifytest.Said {
		q, s := *d.Equivalence, equivalence
		q.Differences = slices.Clone(q.Differences)
		change(&q)
		s.Predicate = &q
		return s
	}
	refused(t, "one difference missing", y.say(changed(func(q *attest.Equivalence) { q.Differences = q.Differences[:1] })), verify.EnvMismatch, "/predicate/differences", "flags/3")
	refused(t, "another base environment", y.say(changed(func(q *attest.Equivalence) { q.BaseEnvironment = attest.DigestOf(nil) })), verify.EnvMismatch, "/predicate/baseEnvironment")
	refused(t, "as if it was imported", y.say(changed(func(q *attest.Equivalence) {
		q.BaseEnvironment, q.Differences, q.Unobserved = "", []attest.VouchedDifference{}, []string{"flags"}
	})), verify.UnknownBase, "import it first")
	byAnother := equivalence
	byAnother.Role = attest.RolePatch
	refused(t, "by the patch's signer", y.say(byAnother), verify.UntrustedSigner, "role base")
	for _, s := range []verifytest.Said{equivalence, live, build} {
		if err := y.say(s); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	forbidden := y.derived(w, func(e *attest.Environment) { e.Flags = append(slices.Clone(e.Flags), "-fno-inline") })
	for _, name := range []string{"patch builder provenance", "patch environment"} {
		if err := y.say(of(forbidden, name)); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "a flag nobody can vouch for", y.say(of(forbidden, "equivalence")), verify.EnvMismatch, "no statement can vouch", "-fno-inline")
}

// TestEquivalenceThatIsNotAccepted: where the product does not accept the basis,
// a patch that only it could carry is refused when it is pushed.
func TestEquivalenceThatIsNotAccepted(t *testing.T) {
	y := newYard(t)
	w := y.World("one")
	y.base(w)
	d := y.derived(w, func(*attest.Environment) {})
	for _, name := range []string{"patch builder provenance", "patch environment", "equivalence"} {
		if err := y.say(of(d, name)); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "a patch of another environment", y.say(of(d, "livepatch")), verify.EnvMismatch, "builderImage")
}

func TestReconstructionIsAdmitted(t *testing.T) {
	y := newYard(t)
	y.accept(attest.FitEquivalent)
	w := y.foreign("one")
	base, i := w.ImportedBase()
	d := y.derived(w, func(*attest.Environment) {})
	d.OfImported(i)
	for _, name := range []string{"patch builder provenance", "patch environment"} {
		if err := y.say(of(d, name)); err != nil {
			t.Fatal(err)
		}
	}
	equivalence := of(d, "equivalence")
	refused(t, "before the import", y.say(equivalence), verify.UnknownBase, "import it first")
	if err := y.say(base); err != nil {
		t.Fatal(err)
	}
	less, s := *d.Equivalence, equivalence
	less.Unobserved = less.Unobserved[1:]
	s.Predicate = &less
	refused(t, "less than nobody observed", y.say(s), verify.EnvMismatch, "/predicate/unobserved")
	for _, s := range []verifytest.Said{equivalence, of(d, "livepatch"), of(d, "patch provenance")} {
		if err := y.say(s); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}
