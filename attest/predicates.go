package attest

import "time"

// Media types and predicate types are the public names of our formats. They
// never change meaning: a new meaning is a new version.
const (
	prefix = "https://github.com/patchfit/patchfit/attestation/"

	TypeEnvironment  = prefix + "environment/v1"
	TypeBase         = prefix + "base/v1"
	TypeLivePatch    = prefix + "livepatch/v1"
	TypeHostRecord   = prefix + "host-record/v1"
	TypeRevocation   = prefix + "revocation/v1"
	TypeChannel      = prefix + "channel/v1"
	TypeImport       = prefix + "import/v1"
	TypeEquivalence  = prefix + "environment-equivalence/v1"
	TypeRebuild      = prefix + "rebuild/v1"
	TypeAdjudication = prefix + "adjudication/v1"
	TypeProvenance   = "https://slsa.dev/provenance/v1"  // SLSA v1.0, Provenance
	BuildType        = prefix + "container-build/v1"     // our SLSA buildType
	StatementType    = "https://in-toto.io/Statement/v1" // in-toto attestation spec v1, Statement
	statementTypeV01 = "https://in-toto.io/Statement/v0.1"
	PayloadType      = "application/vnd.in-toto+json" // in-toto attestation spec v1, Envelope
	PolicyPayload    = "application/vnd.patchfit.trust-policy.v1+json"
	SegmentPayload   = "application/vnd.patchfit.journal-segment.v1+json"
	MediaEnvironment = "application/vnd.patchfit.environment.v1+json" // config media type of an environment artifact
	ArtifactEnv      = "application/vnd.patchfit.environment.v1"
	ArtifactBase     = "application/vnd.patchfit.base.v1"
	ArtifactPatch    = "application/vnd.patchfit.livepatch.v1"
	ArtifactRebuild  = "application/vnd.patchfit.rebuild.v1"           // what a rebuild left behind: its log, and how its result differs
	ArtifactInputs   = "application/vnd.patchfit.builder-inputs.v1"    // what a builder image was made from: files of an archive
	MediaLock        = "application/vnd.patchfit.builder-lock.v1+json" // config media type of builder inputs: the lock that names them
	ArtifactSource   = "application/vnd.patchfit.source.v1"            // the archive that a build started from
	ArtifactBundle   = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// Kinds of things this version knows. Other kinds are parse errors.
const (
	BaseELFLibrary    = "elf-library"    // a shared library on a host's disk
	BaseELFExecutable = "elf-executable" // an executable on a host's disk
	BaseKernel        = "kernel"         // the kernel image as it is booted
	BaseModule        = "kernel-module"

	PatchELFTest = "elf-test"         // delivered and verified; everything that applies refuses it
	PatchKernel  = "kernel-livepatch" // a kernel module that is a live patch
	PatchLibpulp = "libpulp"          // a shared library with libpulp's sections

	MeasureELFFile     = "elf-file"     // sha256 and build-id of the mapped inode
	MeasureKernelNotes = "kernel-notes" // of the running kernel's notes (docs/spec/base.md)
	MeasureKernelBTF   = "kernel-btf"   // of its type information
	MeasureModuleNotes = "module-notes" // of a loaded module's notes
)

// A Measurement is something a running host can take of a base. All three
// fields must match: a build-id alone is an index, never an identity.
type Measurement struct {
	Kind    string `json:"kind"`
	Digest  Digest `json:"digest"`
	BuildID string `json:"buildId"`
}

// A File names exact bytes.
type File struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
}

// Base is the predicate of base/v1: what a base is and how a running host
// recognises it. Said by the product's base authority. docs/spec/base.md.
type Base struct {
	Product      string        `json:"product"` // product id, a UUID
	Kind         string        `json:"kind"`
	File         File          `json:"file"`
	Environment  Digest        `json:"environment"`
	Target       Target        `json:"target"`
	Measurements []Measurement `json:"measurements"` // at least one
}

// LivePatch is the predicate of livepatch/v1. docs/spec/livepatch.md.
type LivePatch struct {
	Product     string   `json:"product"`
	Kind        string   `json:"kind"`
	Base        Digest   `json:"base"`     // manifest digest of the one base
	BaseFile    Digest   `json:"baseFile"` // sha256 of the base's file
	Environment Digest   `json:"environment"`
	File        File     `json:"file"`
	Unsigned    Digest   `json:"unsigned"` // the file without an appended signature
	Code        Digest   `json:"code"`     // docs/spec/digests.md, code
	Functions   []string `json:"functions"`
	Imports     []string `json:"imports"`
	Fixes       []string `json:"fixes"` // CVE ids
	Replaces    []Digest `json:"replaces"`
	Requires    []Digest `json:"requires"`
	Conflicts   []Digest `json:"conflicts"`
	Revertible  bool     `json:"revertible"`
}

// HostRecord is the predicate of host-record/v1: what a host runs, said by
// its own key, whose sha256 is the statement's subject. docs/spec/host-record.md.
type HostRecord struct {
	Host     string    `json:"host"`   // host id, a UUID
	BootID   string    `json:"bootId"` // /proc/sys/kernel/random/boot_id
	Sequence int64     `json:"sequence"`
	Nonce    string    `json:"nonce"` // the server's challenge this record answers
	Time     time.Time `json:"time"`  // the host's clock, UTC, whole seconds
	Target   Target    `json:"target"`
	Running  []Running `json:"running"` // sorted by product, then measurement digest
}

// Running is one measured base of one product on a host.
type Running struct {
	Product     string      `json:"product"`
	Measurement Measurement `json:"measurement"`
}

// What a revocation may name.
const (
	RevokePayload     = "payload"     // sha256 of a statement's bytes
	RevokeSubject     = "subject"     // a manifest digest
	RevokeKey         = "key"         // sha256 of a public key's SPKI DER
	RevokeEnvironment = "environment" // an environment digest
	RevokeBuilder     = "builder-image"
)

// Revocation is the predicate of revocation/v1. It takes effect at its journal
// record and has no end. docs/spec/revocation.md.
type Revocation struct {
	Product string `json:"product"`
	Kind    string `json:"kind"`
	Digest  Digest `json:"digest"`
	Reason  string `json:"reason"` // for people, one line
	// Since says from where on a key was somebody else's: what it said before
	// stays good. Nil: all of it counts no more.
	Since *Since `json:"since,omitzero"`
}

// A Since is a place in a log, in a checkpoint that shows how far the log had
// come: what is there or later cannot have been said before, whatever its
// timestamp is.
type Since struct {
	LogIndex   int64  `json:"logIndex"`   // of the first entry that counts no more; at most the checkpoint's size
	Checkpoint string `json:"checkpoint"` // the log's signed note, with its cosignatures
}

// Provenance is the part of SLSA provenance v1 that we read; its other fields
// are kept in the signed bytes and ignored. docs/spec/provenance.md.
type Provenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition says what was to be built, from what (SLSA v1.0).
type BuildDefinition struct {
	BuildType            string               `json:"buildType"`
	ExternalParameters   ExternalParameters   `json:"externalParameters"`
	InternalParameters   InternalParameters   `json:"internalParameters"`
	ResolvedDependencies []ResourceDescriptor `json:"resolvedDependencies"`
}

// ExternalParameters are what whoever asked for the build chose.
type ExternalParameters struct {
	Product string   `json:"product"`
	Command []string `json:"command"`
	Recipe  *Recipe  `json:"recipe,omitzero"` // of builds that ran in their builder image
}

// A Recipe is how a contained build was set up: with command, source and
// builder image all that is needed to run it again.
type Recipe struct {
	Directory       string `json:"directory,omitzero"`     // working directory, below /build; "" is /build
	Artifact        string `json:"artifact"`               // below /build
	Configuration   string `json:"configuration,omitzero"` // below /build, or absolute in the builder image
	SourceDateEpoch int64  `json:"sourceDateEpoch"`        // seconds since 1970, as builds get it (reproducible-builds.org)
}

// InternalParameters are what the builder chose.
type InternalParameters struct {
	// Contained says whether the build could open only what is in its builder
	// image. False is honest for a build that ran on the machine as it was.
	Contained bool `json:"contained"`
}

// RunDetails says who ran the build.
type RunDetails struct {
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	Metadata struct {
		InvocationID string    `json:"invocationId"`
		StartedOn    time.Time `json:"startedOn,omitzero"`
		FinishedOn   time.Time `json:"finishedOn,omitzero"`
	} `json:"metadata"`
}

// A ResourceDescriptor names an input of a build (in-toto attestation v1).
type ResourceDescriptor struct {
	Name   string            `json:"name"`
	URI    string            `json:"uri,omitzero"`
	Digest map[string]string `json:"digest"`
}

// Names of the resolved dependencies every provenance of ours carries.
const (
	DependencyEnvironment = "environment"   // the environment digest; not in a builder image's own provenance
	DependencyBuilder     = "builder-image" // its manifest digest; not in a builder image's own provenance
	DependencySource      = "source"        // sha256 of the source tree's tar or single file
)
