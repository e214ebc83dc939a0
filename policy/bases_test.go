package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// An arrangement is a patch and its base by another basis of fit than the
// environment, with everything as it has to be, for a test to change before it
// is said.
type arrangement struct {
	*scene
	w           *verifytest.World
	accepted    []string
	derived     *verifytest.Derivation
	baseImport  *attest.Import
	patchImport *attest.Import
	said        []verifytest.Said
}

func newFitting(t *testing.T) *arrangement {
	t.Helper()
	s := newScene(t)
	return &arrangement{scene: s, w: s.World(s.product, "one"), accepted: []string{attest.FitEnvironment, attest.FitEquivalent, attest.FitVendor}}
}

// vendor has patch and base imported.
func vendor(t *testing.T) *arrangement {
	f := newFitting(t)
	base, i := f.w.ImportedBase()
	patch, j := f.w.ImportedPatch()
	f.baseImport, f.patchImport, f.said = i, j, []verifytest.Said{patch, base}
	return f
}

// derive has the patch built in an image derived from the base's, with what
// kpatch requires.
func derive(t *testing.T) *arrangement {
	f := newFitting(t)
	f.derive(t, func(e *attest.Environment) {
		e.BuilderImage = attest.DigestOf([]byte("derived image"))
		e.Flags = append(slices.Clone(e.Flags), "-ffunction-sections", "-fdata-sections")
	})
	return f
}

func (f *arrangement) derive(t *testing.T, change func(*attest.Environment)) {
	t.Helper()
	d, err := f.w.Derived(change)
	if err != nil {
		t.Fatal(err)
	}
	f.derived, f.said = d, slices.Concat(d.Said, f.w.Said()[2:])
}

// reconstruct has the patch built for an imported base.
func reconstruct(t *testing.T) *arrangement {
	f := derive(t)
	base, i := f.w.ImportedBase()
	f.derived.OfImported(i)
	f.baseImport, f.said = i, append(f.derived.Said, base)
	return f
}

// drop leaves a statement out.
func (f *arrangement) drop(name string) {
	f.said = slices.DeleteFunc(f.said, func(s verifytest.Said) bool { return s.Name == name })
}

// by has another role say a statement.
func (f *arrangement) by(name string, role attest.Role) {
	for i := range f.said {
		if f.said[i].Name == name {
			f.said[i].Role = role
		}
	}
}

// facts has everything said, and gathers it.
func (f *arrangement) facts(t *testing.T) *policy.Facts {
	t.Helper()
	f.product.FitBases = f.accepted
	f.reload(t)
	for _, said := range f.said {
		f.admit(t, f.Say(said), said.About)
	}
	facts := f.scene.facts(t, f.w, f.w)
	facts.Site.MinimumAssurance.Base = policy.BaseImported
	return facts
}

func TestBasesOfFit(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(*testing.T) *arrangement
		basis string
		count int // of statements it stands on
	}{
		"one vendor":            {vendor, attest.FitVendor, 2},
		"a derived environment": {derive, attest.FitEquivalent, 9},
		"an imported base":      {reconstruct, attest.FitEquivalent, 6},
		"built and imported, too": {func(t *testing.T) *arrangement {
			f := newFitting(t)
			base, _ := f.w.ImportedBase()
			patch, _ := f.w.ImportedPatch()
			f.said = append(f.w.Said(), base, patch)
			return f
		}, attest.FitEnvironment, 6},
		"vouched for needlessly": {func(t *testing.T) *arrangement {
			f := derive(t)
			f.said = append(f.w.Said(), f.derived.Said[2:]...)
			return f
		}, attest.FitEnvironment, 6},
		"two importers, in other words": {func(t *testing.T) *arrangement {
			f := vendor(t)
			base, i := f.w.ImportedBase()
			i.Word, i.Package.Version, i.Path, i.Chain[0].Key = "so say I", "1.0-2", "lib/one", strings.Repeat("5d", 32)
			f.said = append(f.said, base)
			return f
		}, attest.FitVendor, 2},
	} {
		facts := c.make(t).facts(t)
		if diff := cmp.Diff(policy.Decision{Allow: true, Basis: c.basis}, policy.Decide(facts)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if n := len(facts.Evidence()); n != c.count {
			t.Errorf("%s: it stands on %d statements, want %d", name, n, c.count)
		}
		for _, check := range policy.Explain(facts) {
			if !check.Passed || len(check.Findings) > 0 {
				t.Errorf("%s: %+v", name, check)
			}
		}
		if d := policy.Decide(policy.Anew(facts)); !d.Allow {
			t.Errorf("%s, looked up anew: %v", name, d.Reasons)
		}
		if p := facts.Patch.LivePatch(); p == nil || p.Kind != attest.PatchELFTest || p.BaseFile != facts.Patch.Base.Artifact.File {
			t.Errorf("%s: the patch is %+v", name, p)
		}
	}
}

// A wrong is one thing that is not as it has to be, and all that is said of it.
type wrong struct {
	change func(t *testing.T, f *arrangement)
	want   []verify.Reason
	says   string // in the leading finding
}

func deniedAll(t *testing.T, make func(*testing.T) *arrangement, all map[string]wrong) {
	t.Helper()
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			f := make(t)
			c.change(t, f)
			facts := f.facts(t)
			d := policy.Decide(facts)
			if d.Allow {
				t.Fatalf("allowed by %s", d.Basis)
			}
			var got []verify.Reason
			for _, r := range d.Reasons {
				if !slices.Contains(got, r.Reason) {
					got = append(got, r.Reason)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || len(d.Reasons) == 0 || !strings.Contains(d.Reasons[0].String(), c.says) {
				t.Errorf("reasons (-want +got):\n%s\nwant %q in %v", diff, c.says, d.Reasons)
			}
			sameTable(t, facts, d)
			if diff := cmp.Diff(d, policy.Decide(policy.Anew(facts))); diff != "" {
				t.Errorf("looked up anew:\n%s", diff)
			}
		})
	}
}

func TestVendorDenials(t *testing.T) {
	byDir := func(i *attest.Import) {
		i.Method, i.Origin, i.Chain = attest.ImportDir, attest.OriginObserved, []attest.ImportStep{}
	}
	deniedAll(t, vendor, map[string]wrong{
		"not accepted":               {func(_ *testing.T, f *arrangement) { f.accepted = []string{attest.FitEnvironment, attest.FitEquivalent} }, only(verify.LowAssurance), "environment equivalent, got vendor"},
		"another vendor":             {func(_ *testing.T, f *arrangement) { f.patchImport.Vendor = "another" }, only(verify.EnvMismatch), "vendor of import/v1 of the patch = vendor, got another"},
		"base as it lay there":       {func(_ *testing.T, f *arrangement) { byDir(f.baseImport) }, only(verify.LowAssurance), "origin of import/v1 of the base = imported, got observed"},
		"patch as it lay there":      {func(_ *testing.T, f *arrangement) { byDir(f.patchImport) }, only(verify.LowAssurance), "origin of import/v1 of the patch = imported, got observed"},
		"no import of the base":      {func(_ *testing.T, f *arrangement) { f.drop("base import") }, only(verify.NoAttestation, verify.UnknownBase, verify.LowAssurance), "import/v1 of the base"},
		"no import of the patch":     {func(_ *testing.T, f *arrangement) { f.drop("patch import") }, only(verify.NoAttestation, verify.NoProvenance), "livepatch/v1"},
		"base built, not imported":   {func(_ *testing.T, f *arrangement) { f.drop("base import"); f.said = append(f.said, f.w.Said()[2:]...) }, only(verify.NoAttestation, verify.LowAssurance), "import/v1 of the base"},
		"base by the base authority": {func(_ *testing.T, f *arrangement) { f.by("base import", attest.RoleBase) }, only(verify.UntrustedSigner, verify.UnknownBase, verify.LowAssurance), "role import"},
		"patch by the patch signer":  {func(_ *testing.T, f *arrangement) { f.by("patch import", attest.RolePatch) }, only(verify.UntrustedSigner), "role import"},
		"base for another machine":   {func(_ *testing.T, f *arrangement) { f.baseImport.Target.Architecture = "aarch64" }, only(verify.EnvMismatch), "target/architecture of import/v1 of the patch"},
		"patch for another machine":  {func(_ *testing.T, f *arrangement) { f.patchImport.Target.ByteOrder = "big" }, only(verify.EnvMismatch), "target/byteOrder of import/v1 of the patch"},
		"host is another machine":    {func(_ *testing.T, f *arrangement) { f.w.Record.Target.WordSize = 32 }, only(verify.EnvMismatch), "target/wordSize of the host record"},
		"for another base":           {func(_ *testing.T, f *arrangement) { f.patchImport.Patch.Base = attest.DigestOf(nil) }, only(verify.BaseMismatch), "base of import/v1"},
		"for another base file":      {func(_ *testing.T, f *arrangement) { f.patchImport.Patch.BaseFile = attest.DigestOf(nil) }, only(verify.BaseMismatch), "base file of import/v1"},
		"of another size":            {func(_ *testing.T, f *arrangement) { f.patchImport.File.Size++ }, only(verify.SubjectMismatch), "size of the file of import/v1"},
		"base of another size":       {func(_ *testing.T, f *arrangement) { f.baseImport.File.Size++ }, only(verify.SubjectMismatch), "size of the file of import/v1"},
		"of another product":         {func(_ *testing.T, f *arrangement) { f.patchImport.Product = "3b241101-e2bb-4255-8caf-4136c566a962" }, only(verify.SubjectMismatch), "product of import/v1 of the patch"},
		"measured otherwise":         {func(_ *testing.T, f *arrangement) { f.w.Record.Running[0].Measurement.BuildID = "00" }, only(verify.UnknownBase), "build-id 00"},
		"two imports that disagree": {func(_ *testing.T, f *arrangement) {
			more, i := f.w.ImportedBase()
			i.Observed = attest.Observed{}
			f.said = append(f.said, more)
		}, only(verify.Contested), "both live and trusted"},
		"an import revoked":          {func(t *testing.T, f *arrangement) { f.revoke(t, attest.RevokeSubject, f.w.BaseManifest) }, only(verify.Revoked), "import/v1 of the base"},
		"the patch's import revoked": {func(t *testing.T, f *arrangement) { f.revoke(t, attest.RevokeKey, f.Signer("import").Key.ID()) }, only(verify.Revoked), "import/v1 of the patch"},
	})
}

func TestEquivalenceDenials(t *testing.T) {
	again := func(change func(*attest.Environment)) func(*testing.T, *arrangement) {
		return func(t *testing.T, f *arrangement) { f.derive(t, change) }
	}
	deniedAll(t, derive, map[string]wrong{
		"not accepted":                  {func(_ *testing.T, f *arrangement) { f.accepted = []string{attest.FitEnvironment, attest.FitVendor} }, only(verify.EnvMismatch), "builderImage = "},
		"nobody vouches":                {func(_ *testing.T, f *arrangement) { f.drop("equivalence") }, only(verify.EnvMismatch), "builderImage = "},
		"vouched by the patch's signer": {func(_ *testing.T, f *arrangement) { f.by("equivalence", attest.RolePatch) }, only(verify.UntrustedSigner), "environment-equivalence/v1"},
		"vouched and revoked": {func(t *testing.T, f *arrangement) {
			f.revoke(t, attest.RevokeEnvironment, f.derived.Equivalence.Environment)
		}, only(verify.Revoked), "livepatch/v1"},
		"one difference is not named": {func(_ *testing.T, f *arrangement) {
			f.derived.Equivalence.Differences = f.derived.Equivalence.Differences[:2]
		}, only(verify.EnvMismatch), "flags/4 = (absent), got -fdata-sections"},
		"one is named otherwise": {func(_ *testing.T, f *arrangement) { f.derived.Equivalence.Differences[1].Patch = "-fdata-sections" }, only(verify.EnvMismatch), "flags/3 = (absent), got -ffunction-sections"},
		"one more is named": {func(_ *testing.T, f *arrangement) {
			f.derived.Equivalence.Differences = append(f.derived.Equivalence.Differences, attest.VouchedDifference{Field: "linker/version", Base: "2.40", Patch: "2.41"})
		}, only(verify.EnvMismatch), "vouched difference linker/version"},
		"a flag nobody can vouch for":           {again(func(e *attest.Environment) { e.Flags = append(slices.Clone(e.Flags), "-fno-inline") }), only(verify.EnvMismatch), "got -fno-inline"},
		"another optimisation":                  {again(func(e *attest.Environment) { e.Flags = append([]string{"-O3"}, e.Flags[1:]...) }), only(verify.EnvMismatch), "got -O3"},
		"another word size":                     {again(func(e *attest.Environment) { e.Target.WordSize = 32 }), only(verify.EnvMismatch), "target/wordSize = 64, got 32"},
		"no environment of the patch":           {func(_ *testing.T, f *arrangement) { f.drop("patch environment") }, only(verify.NoAttestation), "environment/v1 of the patch's environment"},
		"the patch's environment by its signer": {func(_ *testing.T, f *arrangement) { f.by("patch environment", attest.RolePatch) }, only(verify.UntrustedSigner), "role base"},
		"no provenance of the derived image":    {func(_ *testing.T, f *arrangement) { f.drop("patch builder provenance") }, only(verify.NoProvenance), "the patch's builder image"},
		"the derived image by another":          {func(_ *testing.T, f *arrangement) { f.by("patch builder provenance", attest.RolePatch) }, only(verify.UntrustedSigner), "role builder"},
		"no provenance of the base":             {func(_ *testing.T, f *arrangement) { f.drop("base provenance") }, only(verify.NoProvenance, verify.LowAssurance), "provenance of the base"},
		"provenance of the patch elsewhere":     {func(_ *testing.T, f *arrangement) { f.derived.Build.BuildDefinition = f.w.PatchBuild.BuildDefinition }, only(verify.EnvMismatch), "resolvedDependencies/environment"},
		"provenance of the base elsewhere": {func(_ *testing.T, f *arrangement) {
			f.w.BaseBuild.BuildDefinition.ResolvedDependencies = f.derived.Build.BuildDefinition.ResolvedDependencies
		}, only(verify.EnvMismatch), "resolvedDependencies/environment"},
		"host is another machine": {func(_ *testing.T, f *arrangement) { f.w.Record.Target.WordSize = 32 }, only(verify.EnvMismatch), "target/wordSize of the host record"},
		"vouched for another base file": {func(_ *testing.T, f *arrangement) {
			f.derived.Equivalence.BaseFile = f.w.PatchFile.Digest
			f.drop("equivalence") // its parser asks for the base's file as the subject: it is not about this base
		}, only(verify.EnvMismatch), "builderImage"},
		"vouched in another product": {func(_ *testing.T, f *arrangement) {
			f.derived.Equivalence.Product = "3b241101-e2bb-4255-8caf-4136c566a962"
		}, only(verify.SubjectMismatch), "product of environment-equivalence/v1"},
		"two that disagree": {func(_ *testing.T, f *arrangement) {
			for _, s := range f.derived.Said {
				if s.Name == "equivalence" {
					other := *f.derived.Equivalence
					other.Differences = other.Differences[:1]
					s.Predicate = &other
					f.said = append(f.said, s)
				}
			}
		}, only(verify.Contested), "both live and trusted"},
	})
}

func TestReconstructionDenials(t *testing.T) {
	deniedAll(t, reconstruct, map[string]wrong{
		"not accepted":          {func(_ *testing.T, f *arrangement) { f.accepted = []string{attest.FitEnvironment, attest.FitVendor} }, only(verify.LowAssurance), "got equivalent"},
		"nobody vouches":        {func(_ *testing.T, f *arrangement) { f.drop("equivalence") }, only(verify.NoAttestation), "environment-equivalence/v1"},
		"no import of the base": {func(_ *testing.T, f *arrangement) { f.drop("base import") }, only(verify.NoAttestation, verify.NoProvenance, verify.UnknownBase, verify.LowAssurance), "base/v1"},
		"another configuration": {func(_ *testing.T, f *arrangement) { f.baseImport.Observed.Configuration = attest.DigestOf([]byte("y")) }, only(verify.EnvMismatch), "configuration = "},
		"another compiler":      {func(_ *testing.T, f *arrangement) { f.baseImport.Observed.Compiler = "gcc 11" }, only(verify.EnvMismatch), "compiler/version = gcc 11"},
		"more was not observed": {func(_ *testing.T, f *arrangement) { f.baseImport.Observed = attest.Observed{} }, only(verify.EnvMismatch), "unobserved = assembler builderImage compiler configuration"},
		"less is admitted to": {func(_ *testing.T, f *arrangement) {
			f.derived.Equivalence.Unobserved = f.derived.Equivalence.Unobserved[1:]
		}, only(verify.EnvMismatch), "unobserved"},
		"vouched as if it was built": {func(_ *testing.T, f *arrangement) {
			f.derived.Equivalence.BaseEnvironment, f.derived.Equivalence.Unobserved = f.w.EnvFile, []string{}
			f.derived.Equivalence.Differences = attest.Vouch(f.w.Environment.Diff(f.derived.Environment))
		}, only(verify.NoAttestation), "environment-equivalence/v1"},
		"base for another machine": {func(_ *testing.T, f *arrangement) { f.baseImport.Target.Architecture = "aarch64" }, only(verify.EnvMismatch), "target/architecture of import/v1"},
		"no provenance":            {func(_ *testing.T, f *arrangement) { f.drop("patch provenance") }, only(verify.NoProvenance), "provenance of the patch"},
		"for another base":         {func(_ *testing.T, f *arrangement) { f.derived.Patch.BaseFile = attest.DigestOf(nil) }, only(verify.BaseMismatch), "base file of livepatch/v1"},
	})
}

// TestImportedIsLess: an import reaches the assurance imported, one without a
// chain observed, and the default asks for a base that was built.
func TestImportedIsLess(t *testing.T) {
	facts := reconstruct(t).facts(t)
	facts.Site = policy.DefaultSite()
	if d := policy.Decide(facts); d.Allow || len(d.Reasons) != 1 || d.Reasons[0].Reason != verify.LowAssurance || d.Reasons[0].Got != policy.BaseImported {
		t.Errorf("by default: %+v", d)
	}
	f := reconstruct(t)
	f.baseImport.Method, f.baseImport.Origin, f.baseImport.Chain = attest.ImportDir, attest.OriginObserved, []attest.ImportStep{}
	facts = f.facts(t)
	if d := policy.Decide(facts); d.Allow || len(d.Reasons) != 1 || d.Reasons[0].Got != policy.BaseObserved {
		t.Errorf("without a chain: %+v", d)
	}
	facts.Site.MinimumAssurance.Base = policy.BaseObserved
	if d := policy.Decide(facts); !d.Allow {
		t.Errorf("without a chain, where observed will do: %v", d.Reasons)
	}
}

// vouching says an equivalence, changed, and returns its evidence.
func (f *arrangement) vouching(t *testing.T, change func(*attest.Equivalence)) *verify.Evidence {
	t.Helper()
	q := *f.derived.Equivalence
	change(&q)
	about := verify.Artifact{Manifest: f.w.BaseManifest, File: f.w.BaseFile.Digest}
	return f.admit(t, f.Bundle(f.Statement(attest.TypeEquivalence, about.Manifest, about.File, &q), f.Signer("base")), about)
}

// TestGatheredOtherwise: what gathering would not have picked is denied all the
// same: the rules trust no picker.
func TestGatheredOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		make   func(*testing.T) *arrangement
		change func(t *testing.T, f *arrangement, facts *policy.Facts)
		says   string
	}{
		"vouches for another environment": {derive, func(t *testing.T, f *arrangement, facts *policy.Facts) {
			facts.Patch.Equivalence = f.vouching(t, func(q *attest.Equivalence) { q.Environment = attest.DigestOf(nil) })
		}, "environment of environment-equivalence/v1"},
		"vouches from another environment": {derive, func(t *testing.T, f *arrangement, facts *policy.Facts) {
			facts.Patch.Equivalence = f.vouching(t, func(q *attest.Equivalence) { q.BaseEnvironment = attest.DigestOf(nil) })
		}, "baseEnvironment of environment-equivalence/v1"},
		"vouches for a built base, and it is imported": {reconstruct, func(t *testing.T, f *arrangement, facts *policy.Facts) {
			facts.Patch.Equivalence = f.vouching(t, func(q *attest.Equivalence) {
				q.BaseEnvironment, q.Unobserved = f.w.EnvFile, []string{}
				q.Differences = attest.Vouch(f.w.Environment.Diff(f.derived.Environment))
			})
		}, "baseEnvironment of environment-equivalence/v1 = (none)"},
		"the host runs one of another environment": {derive, func(t *testing.T, f *arrangement, facts *policy.Facts) {
			other := f.World(f.product, "two")
			f.publish(t, other)
			facts.Host.Bases = append(facts.Host.Bases, policy.GatherBase(f.trust, f.product.ID, baseArtifact(other), f.pool))
		}, "environment of the base the host runs"},
		"an import of a base for one of a patch": {vendor, func(_ *testing.T, _ *arrangement, facts *policy.Facts) {
			facts.Patch.Import = facts.Patch.Base.Import
		}, "import/v1 of the patch"},
	} {
		f := c.make(t)
		facts := f.facts(t)
		c.change(t, f, facts)
		d := policy.Decide(facts)
		if d.Allow || !slices.ContainsFunc(d.Reasons, func(r policy.Finding) bool { return strings.Contains(r.String(), c.says) }) {
			t.Errorf("%s: allowed %t: %v", name, d.Allow, d.Reasons)
		}
		sameTable(t, facts, d)
	}
}

func TestBuilderOfDerivedPatch(t *testing.T) {
	f := derive(t)
	list := slices.Clone(f.derived.Build.BuildDefinition.ResolvedDependencies)
	list[1].Digest = map[string]string{"sha256": attest.DigestOf(nil).Hex()}
	f.derived.Build.BuildDefinition.ResolvedDependencies = list
	d := policy.Decide(f.facts(t))
	if d.Allow || d.Reasons[0].Reason != verify.EnvMismatch || !strings.Contains(d.Reasons[0].String(), "resolvedDependencies/builder-image") {
		t.Errorf("%+v", d)
	}
}
