package attest

import (
	"cmp"
	"encoding/hex"
	"path"
	"slices"
	"strings"
)

func baseKinds() []string  { return []string{BaseELFLibrary, BaseELFExecutable, BaseKernel, BaseModule} }
func patchKinds() []string { return []string{PatchELFTest, PatchKernel, PatchLibpulp} }

func (i *Import) check(at spot) error {
	return cmp.Or(
		at.member("product").uuid(i.Product),
		i.checkKind(at),
		at.member("method").oneOf(i.Method, ImportDeb, ImportRPM, ImportModule, ImportDir),
		i.checkOrigin(at.member("origin")),
		at.member("vendor").token(i.Vendor),
		at.member("word").line(i.Word),
		i.Package.check(at.member("package")),
		i.checkPath(at.member("path")),
		i.File.check(at.member("file")),
		i.checkChain(at.member("chain")),
		i.Target.check(at.member("target")),
		i.Observed.check(at.member("observed")),
		i.checkUse(at),
	)
}

func (i *Import) checkKind(at spot) error {
	if i.Patch != nil {
		return at.member("kind").oneOf(i.Kind, patchKinds()...)
	}
	if slices.Contains(patchKinds(), i.Kind) {
		return at.member("patch").errorf("missing: the kind %q is of a live patch", i.Kind)
	}
	return at.member("kind").oneOf(i.Kind, baseKinds()...)
}

// checkOrigin asks that only what was verified is called so.
func (i *Import) checkOrigin(at spot) error {
	if i.Method == ImportDir {
		return at.oneOf(i.Origin, OriginObserved)
	}
	return at.oneOf(i.Origin, OriginImported)
}

func (p Package) check(at spot) error {
	return cmp.Or(
		at.member("name").line(p.Name),
		at.member("version").line(p.Version),
		at.member("architecture").line(p.Architecture),
	)
}

// checkPath asks for a path in its one form that stays in the package.
func (i *Import) checkPath(at spot) error {
	p := i.Path
	if err := at.line(p); err != nil {
		return err
	}
	if p != path.Clean(p) || path.IsAbs(p) || p == "." || p == ".." || strings.HasPrefix(p, "../") {
		return at.errorf("%.80q is not a clean path inside a package", p)
	}
	return nil
}

// checkChain asks for the links of the method, each once and in order: the
// first is signed, the last is the file.
func (i *Import) checkChain(at spot) error {
	want := chainOf(i.Method)
	if len(i.Chain) != len(want) {
		return at.errorf("%d links, a chain of method %q has %d: %s", len(i.Chain), i.Method, len(want), strings.Join(want, ", "))
	}
	for n, step := range i.Chain {
		if err := step.check(at.index(n), want[n], n == 0); err != nil {
			return err
		}
	}
	if n := len(i.Chain) - 1; n >= 0 && i.Chain[n].Digest != i.File.Digest {
		return at.index(n).member("digest").errorf("%s is not the file %s", i.Chain[n].Digest, i.File.Digest)
	}
	return nil
}

func (s ImportStep) check(at spot, what string, signed bool) error {
	if err := cmp.Or(at.member("what").oneOf(s.What, what), at.member("digest").digest(s.Digest)); err != nil {
		return err
	}
	if s.Key == "" && signed {
		return at.member("key").errorf("missing: the first link of a chain is what a key signed")
	}
	if s.Key != "" {
		if err := checkFingerprint(at.member("key"), s.Key); err != nil {
			return err
		}
	}
	return optional(s.Time, at.member("time").time)
}

// checkFingerprint asks for the lower-case hex of a SHA-1 or SHA-256.
func checkFingerprint(at spot, v string) error {
	b, err := hex.DecodeString(v)
	if err != nil || len(b) != 20 && len(b) != 32 || hex.EncodeToString(b) != v {
		return at.errorf("%.80q is not the fingerprint of a key: 40 or 64 lower-case hex digits", v)
	}
	return nil
}

func (o Observed) check(at spot) error {
	if o.Compiler != "" {
		if err := at.member("compiler").line(o.Compiler); err != nil {
			return err
		}
	}
	if o.Configuration != "" {
		return at.member("configuration").digest(o.Configuration)
	}
	return nil
}

// checkUse asks for what a base is recognised by, or what a patch is for.
func (i *Import) checkUse(at spot) error {
	if i.Patch == nil {
		return checkMeasurements(at.member("measurements"), i.Kind, i.File, i.Measurements)
	}
	if len(i.Measurements) > 0 {
		return at.member("measurements").errorf("a live patch is nothing a host is recognised by")
	}
	if i.Observed != (Observed{}) {
		return at.member("observed").errorf("of a live patch's environment nothing is asked")
	}
	at = at.member("patch")
	return cmp.Or(
		at.member("base").digest(i.Patch.Base),
		at.member("baseFile").digest(i.Patch.BaseFile),
		i.LivePatch().checkContent(at),
	)
}

func (i *Import) about(at spot, subjects []Subject) error {
	return cmp.Or(count(at, subjects, 2), secondIs(at, subjects, i.File.Digest, "the imported file"))
}
