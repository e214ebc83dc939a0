package attest

import (
	"slices"
	"time"
)

// Import is the predicate of import/v1: a named importer's word that a file is
// what a vendor made, and how the vendor's own chain of signatures says so. It
// claims no environment. docs/spec/import.md.
type Import struct {
	Product string  `json:"product"` // product id, a UUID
	Kind    string  `json:"kind"`    // of a base, or of a patch
	Origin  string  `json:"origin"`
	Method  string  `json:"method"`
	Vendor  string  `json:"vendor"` // a word: imports of one vendor have the same
	Word    string  `json:"word"`   // the importer's own, one line for people
	Package Package `json:"package"`
	// Chain is what was verified, from what a key signed down to the file. It is
	// empty where nothing was.
	Chain        []ImportStep   `json:"chain"`
	Path         string         `json:"path"` // of the file in the package
	File         File           `json:"file"`
	Target       Target         `json:"target"`
	Measurements []Measurement  `json:"measurements"` // of a base; of a patch there are none
	Observed     Observed       `json:"observed"`
	Patch        *ImportedPatch `json:"patch,omitzero"` // nil: it is a base
}

// A Package is what a vendor hands out as one.
type Package struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"` // in the vendor's words, as "amd64"
}

// An ImportStep is one link of a vendor's chain.
type ImportStep struct {
	What   string `json:"what"`
	Digest Digest `json:"digest"` // of its bytes
	// Key is the fingerprint of the key that signed it, in lower-case hex: of
	// OpenPGP keys their own, of certificates the sha256 of the DER.
	Key  string    `json:"key,omitzero"`
	Time time.Time `json:"time,omitzero"` // that it names itself
}

// Observed is what could be read of the environment a base was built in,
// without anybody who saw the build. What is not here was not observed.
type Observed struct {
	Compiler      string `json:"compiler,omitzero"`      // what it says of itself, as in the file
	Configuration Digest `json:"configuration,omitzero"` // of the kernel's .config
}

// ImportedPatch is what livepatch/v1 says of a patch, but for the environment,
// which nobody here knows.
type ImportedPatch struct {
	Base       Digest   `json:"base"`
	BaseFile   Digest   `json:"baseFile"`
	Unsigned   Digest   `json:"unsigned"`
	Code       Digest   `json:"code"`
	Functions  []string `json:"functions"`
	Imports    []string `json:"imports"`
	Fixes      []string `json:"fixes"`
	Replaces   []Digest `json:"replaces"`
	Requires   []Digest `json:"requires"`
	Conflicts  []Digest `json:"conflicts"`
	Revertible bool     `json:"revertible"`
}

// Where a base is from, in the words of imports.
const (
	OriginImported = "imported" // the vendor's chain was verified
	OriginObserved = "observed" // it was not: the importer says so, nobody else
)

// How a file came.
const (
	ImportDeb    = "deb"    // a Debian package: InRelease, Packages, the package
	ImportRPM    = "rpm"    // an RPM package: its header, its payload
	ImportModule = "module" // a kernel module with an appended signature
	ImportDir    = "dir"    // a file as it lay there: no chain
)

// Links of the chains.
const (
	StepInRelease = "in-release"
	StepPackages  = "packages"
	StepPackage   = "package"
	StepHeader    = "header"
	StepPayload   = "payload"
	StepModule    = "module" // without the appended signature
	StepFile      = "file"
)

// chainOf returns the links a chain of a method has, in order; the first one is
// what a key signed.
func chainOf(method string) []string {
	switch method {
	case ImportDeb:
		return []string{StepInRelease, StepPackages, StepPackage, StepFile}
	case ImportRPM:
		return []string{StepHeader, StepPayload, StepFile}
	case ImportModule:
		return []string{StepModule, StepFile}
	}
	return []string{}
}

// Verified reports whether the vendor's chain was verified: without that it is
// the importer's word alone.
func (i *Import) Verified() bool { return len(i.Chain) > 0 }

// LivePatch returns an imported patch in the form of livepatch/v1, without an
// environment, for whoever shows patches; nil: it is none. No statement says it.
func (i *Import) LivePatch() *LivePatch {
	p := i.Patch
	if p == nil {
		return nil
	}
	return &LivePatch{
		Product: i.Product, Kind: i.Kind, Base: p.Base, BaseFile: p.BaseFile, File: i.File, Unsigned: p.Unsigned, Code: p.Code,
		Functions: p.Functions, Imports: p.Imports, Fixes: p.Fixes,
		Replaces: p.Replaces, Requires: p.Requires, Conflicts: p.Conflicts, Revertible: p.Revertible,
	}
}

// Unobserved lists the fields of an environment that nobody could observe,
// sorted. The target is in the file itself.
func (o Observed) Unobserved() []string {
	list := []string{"assembler", "builderImage", "compiler", "configuration", "flags", "libraries", "linker", "makeVariables"}
	if o.Compiler != "" {
		list[2] = "compiler/digest"
	}
	if o.Configuration != "" {
		list = slices.Delete(list, 3, 4)
	}
	return list
}
