package attest_test

import (
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
)

var (
	archiveKey = strings.Repeat("4c", 20)
	kernelID   = strings.Repeat("eb", 20)
	imported   = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
)

func goodImport() *attest.Import {
	return &attest.Import{
		Product: productID, Kind: attest.BaseKernel, Origin: attest.OriginImported, Method: attest.ImportDeb,
		Vendor: "debian", Word: "imported from the archive by the kernel team",
		Package: attest.Package{Name: "linux-image-6.1.0-1-amd64", Version: "6.1.4-1", Architecture: "amd64"},
		Chain: []attest.ImportStep{
			{What: attest.StepInRelease, Digest: digest("InRelease"), Key: archiveKey, Time: imported},
			{What: attest.StepPackages, Digest: digest("Packages")},
			{What: attest.StepPackage, Digest: digest("deb")},
			{What: attest.StepFile, Digest: baseFile.Digest},
		},
		Path: "boot/vmlinuz-6.1.0-1-amd64", File: baseFile, Target: target,
		Measurements: []attest.Measurement{
			{Kind: attest.MeasureKernelNotes, Digest: digest("notes"), BuildID: kernelID},
			{Kind: attest.MeasureKernelBTF, Digest: digest("BTF"), BuildID: kernelID},
		},
		Observed: attest.Observed{Compiler: "gcc-12 (Debian 12.2.0-14) 12.2.0", Configuration: digest("configuration")},
	}
}

func goodImportedPatch() *attest.Import {
	return &attest.Import{
		Product: productID, Kind: attest.PatchKernel, Origin: attest.OriginImported, Method: attest.ImportRPM,
		Vendor: "example", Word: "as the vendor sent it",
		Package: attest.Package{Name: "kpatch-patch-6_1_4", Version: "1-2", Architecture: "x86_64"},
		Chain: []attest.ImportStep{
			{What: attest.StepHeader, Digest: digest("header"), Key: archiveKey, Time: imported},
			{What: attest.StepPayload, Digest: digest("payload")},
			{What: attest.StepFile, Digest: patchFile.Digest},
		},
		Path: "usr/lib/kpatch/fix.ko", File: patchFile, Target: target, Measurements: []attest.Measurement{},
		Patch: &attest.ImportedPatch{
			Base: digest("base manifest"), BaseFile: baseFile.Digest, Unsigned: digest("unsigned"), Code: digest("code"),
			Functions: []string{"parse_header"}, Imports: []string{"printk"}, Fixes: []string{"CVE-2026-12345"},
			Replaces: []attest.Digest{}, Requires: []attest.Digest{}, Conflicts: []attest.Digest{}, Revertible: true,
		},
	}
}

func goodEquivalence() *attest.Equivalence {
	return &attest.Equivalence{
		Product: productID, BaseFile: baseFile.Digest, BaseEnvironment: digest("environment"), Environment: digest("derived environment"),
		Differences: []attest.VouchedDifference{{Field: "flags/3", Base: attest.Absent, Patch: "-ffunction-sections"}},
		Unobserved:  []string{}, Reason: "kpatch-build in an image derived from the base's",
	}
}

func goodReconstruction() *attest.Equivalence {
	return &attest.Equivalence{
		Product: productID, BaseFile: baseFile.Digest, Environment: digest("reconstructed environment"),
		Differences: []attest.VouchedDifference{}, Unobserved: goodImport().Observed.Unobserved(), Reason: "made from the headers, the configuration and the compiler's own words",
	}
}

// optionalOf lists what a good statement may lack.
func optionalOf(name string) []string {
	switch name {
	case "import":
		return []string{"/predicate/chain/0/key", "/predicate/chain/0/time", "/predicate/observed/compiler", "/predicate/observed/configuration"}
	case "import-patch":
		return []string{"/predicate/chain/0/key", "/predicate/chain/0/time", "/predicate/patch"}
	case "equivalence":
		return []string{"/predicate/baseEnvironment"}
	}
	return nil
}
