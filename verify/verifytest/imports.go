package verifytest

import (
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// Vendor made what is imported in a World.
const Vendor = "vendor"

// ImportedBase returns an import of w's base, in place of what its authority
// says of it.
func (w *World) ImportedBase() (Said, *attest.Import) {
	i := w.imported(w.BaseFile, attest.BaseELFLibrary)
	i.Measurements = w.Base.Measurements
	i.Observed = attest.Observed{Compiler: w.Environment.Compiler.Version, Configuration: w.Environment.Configuration}
	return Said{"base import", attest.RoleImport, attest.TypeImport, verify.Artifact{Manifest: w.BaseManifest, File: w.BaseFile.Digest}, i}, i
}

// ImportedPatch returns an import of w's patch, in place of what its builder
// says of it.
func (w *World) ImportedPatch() (Said, *attest.Import) {
	i := w.imported(w.PatchFile, attest.PatchELFTest)
	i.Measurements = []attest.Measurement{}
	p := w.Patch
	i.Patch = &attest.ImportedPatch{
		Base: w.BaseManifest, BaseFile: w.BaseFile.Digest, Unsigned: p.Unsigned, Code: p.Code,
		Functions: p.Functions, Imports: p.Imports, Fixes: p.Fixes,
		Replaces: []attest.Digest{}, Requires: []attest.Digest{}, Conflicts: []attest.Digest{}, Revertible: p.Revertible,
	}
	return Said{"patch import", attest.RoleImport, attest.TypeImport, verify.Artifact{Manifest: w.PatchManifest, File: w.PatchFile.Digest}, i}, i
}

func (w *World) imported(f attest.File, kind string) *attest.Import {
	digest := func(what string) attest.Digest { return attest.DigestOf([]byte(what + " of " + w.Name)) }
	return &attest.Import{
		Product: w.Product, Kind: kind, Origin: attest.OriginImported, Method: attest.ImportRPM, Vendor: Vendor, Word: "the test imported it",
		Package: attest.Package{Name: w.Name, Version: "1.0-1", Architecture: "x86_64"},
		Chain: []attest.ImportStep{
			{What: attest.StepHeader, Digest: digest("header"), Key: strings.Repeat("4c", 20), Time: Epoch.Add(-time.Hour)},
			{What: attest.StepPayload, Digest: digest("payload")},
			{What: attest.StepFile, Digest: f.Digest},
		},
		Path: "usr/lib/" + w.Name, File: f, Target: w.Environment.Target,
	}
}

// Derived returns w's patch as it is when it was built in another environment
// than its base, changed by change: what is said of the patch and of that
// environment, and the base authority's word that it will do.
func (w *World) Derived(change func(*attest.Environment)) (*Derivation, error) {
	env := *w.Environment
	change(&env)
	d, err := env.Digest()
	if err != nil {
		return nil, err
	}
	patch, build := *w.Patch, *w.PatchBuild
	patch.Environment = d
	build.BuildDefinition.ResolvedDependencies = dependencies(d, env.BuilderImage)
	manifest := attest.DigestOf([]byte("derived environment manifest of " + w.Name))
	about := verify.Artifact{Manifest: w.PatchManifest, File: w.PatchFile.Digest}
	v := &Derivation{
		Environment: &env, Patch: &patch, Build: &build,
		Equivalence: &attest.Equivalence{
			Product: w.Product, BaseFile: w.BaseFile.Digest, BaseEnvironment: w.EnvFile, Environment: d,
			Differences: attest.Vouch(w.Environment.Diff(&env)), Unobserved: []string{}, Reason: "the test derived it",
		},
	}
	v.Said = []Said{
		{"livepatch", attest.RolePatch, attest.TypeLivePatch, about, &patch},
		{"patch provenance", attest.RolePatch, attest.TypeProvenance, about, &build},
		{"patch environment", attest.RoleBase, attest.TypeEnvironment, verify.Artifact{Manifest: manifest, File: d}, &env},
		{"patch builder provenance", attest.RoleBuilder, attest.TypeProvenance, verify.Artifact{Manifest: env.BuilderImage}, sampleBuild(w.Product, "derive")},
		{"equivalence", attest.RoleBase, attest.TypeEquivalence, verify.Artifact{Manifest: w.BaseManifest, File: w.BaseFile.Digest}, v.Equivalence},
	}
	return v, nil
}

// A Derivation is a patch built in an environment of its own.
type Derivation struct {
	Environment *attest.Environment
	Patch       *attest.LivePatch
	Build       *attest.Provenance
	Equivalence *attest.Equivalence
	Said        []Said // all of it, by name
}

// OfImported makes the statement vouch for a base that was imported.
func (d *Derivation) OfImported(base *attest.Import) {
	d.Equivalence.BaseEnvironment, d.Equivalence.Differences = "", []attest.VouchedDifference{}
	d.Equivalence.Unobserved = base.Observed.Unobserved()
}
