package verifytest

import (
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// A World is everything there is to say about one patch that fits: builder
// image, environment, base, patch, and a host that runs the base. Two Worlds of
// different names share nothing but the product.
type World struct {
	Name       string
	Product    string
	Repository string

	// What the registry holds, whatever anybody says of it: four manifests, and
	// the one file that three of them carry.
	Builder, EnvManifest, BaseManifest, PatchManifest attest.Digest
	EnvFile                                           attest.Digest
	BaseFile, PatchFile                               attest.File

	Environment                         *attest.Environment
	Base                                *attest.Base
	Patch                               *attest.LivePatch
	BuilderBuild, BaseBuild, PatchBuild *attest.Provenance
	Record                              *attest.HostRecord
	HostKey                             *Signer
}

// Nonce is the challenge that a World's host record answers.
const Nonce = "challenge-of-now"

// World returns a new world in product. Its record is of sequence 7 and made
// at a.Now.
func (a *Authority) World(product attest.Product, name string) *World {
	a.t.Helper()
	digest := func(what string) attest.Digest { return attest.DigestOf([]byte(what + " of " + name)) }
	w := &World{
		Name: name, Product: product.ID, Repository: product.Repository,
		Builder: digest("builder manifest"), EnvManifest: digest("environment manifest"),
		BaseManifest: digest("base manifest"), PatchManifest: digest("patch manifest"),
		BaseFile:  attest.File{Digest: digest("base file"), Size: 70_001},
		PatchFile: attest.File{Digest: digest("patch file"), Size: 9_001},
		HostKey:   a.newSigner("host of " + name),
	}
	w.Environment = sampleEnvironment(w.Builder, name)
	w.Base = &attest.Base{
		Product: w.Product, Kind: attest.BaseELFLibrary, File: w.BaseFile, Target: w.Environment.Target,
		Measurements: []attest.Measurement{{Kind: attest.MeasureELFFile, Digest: w.BaseFile.Digest, BuildID: "00112233445566778899aabbccddeeff00112233"}},
	}
	w.Patch = samplePatch(w, digest)
	w.BuilderBuild = sampleBuild(w.Product, "pack")
	w.BaseBuild = sampleBuild(w.Product, "make base "+name)
	w.PatchBuild = sampleBuild(w.Product, "make patch "+name)
	w.Record = &attest.HostRecord{
		Host: "0b0f3c62-6f1c-4a3e-9d3b-3f2f6f8f1a10", BootID: "5a1a3b52-8a38-4c7c-9f0e-6a4a8f6f2c11",
		Sequence: 7, Nonce: Nonce, Time: a.Now, Target: w.Environment.Target,
		Running: []attest.Running{{Product: w.Product, Measurement: w.Base.Measurements[0]}},
	}
	w.Link(a.t)
	return w
}

// Link makes the environment's artifact hold the environment as it is now, and
// every statement name it and its builder image, as publishing would.
func (w *World) Link(t testing.TB) {
	t.Helper()
	d, err := w.Environment.Digest()
	if err != nil {
		t.Fatalf("environment of %s: %v", w.Name, err)
	}
	w.EnvFile, w.Base.Environment, w.Patch.Environment = d, d, d
	w.BaseBuild.BuildDefinition.ResolvedDependencies = dependencies(d, w.Environment.BuilderImage)
	w.PatchBuild.BuildDefinition.ResolvedDependencies = dependencies(d, w.Environment.BuilderImage)
}

// A Said is one statement of a World: who says what about which artifact.
type Said struct {
	Name      string
	Role      attest.Role
	Type      string
	About     verify.Artifact
	Predicate any
}

// Said lists the statements that a decision stands on.
func (w *World) Said() []Said {
	base := verify.Artifact{Manifest: w.BaseManifest, File: w.BaseFile.Digest}
	patch := verify.Artifact{Manifest: w.PatchManifest, File: w.PatchFile.Digest}
	environment := verify.Artifact{Manifest: w.EnvManifest, File: w.EnvFile}
	return []Said{
		{"livepatch", attest.RolePatch, attest.TypeLivePatch, patch, w.Patch},
		{"patch provenance", attest.RolePatch, attest.TypeProvenance, patch, w.PatchBuild},
		{"base", attest.RoleBase, attest.TypeBase, base, w.Base},
		{"base provenance", attest.RoleBase, attest.TypeProvenance, base, w.BaseBuild},
		{"environment", attest.RoleBase, attest.TypeEnvironment, environment, w.Environment},
		{"builder provenance", attest.RoleBuilder, attest.TypeProvenance, verify.Artifact{Manifest: w.Builder}, w.BuilderBuild},
	}
}

// Say returns the bundle of s, made by the signer whose name is s.Role.
func (a *Authority) Say(s Said) []byte {
	a.t.Helper()
	return a.Bundle(a.Statement(s.Type, s.About.Manifest, s.About.File, s.Predicate), a.Signer(string(s.Role)))
}

// RecordEnvelope returns the envelope of w's host record, signed by its host.
func (a *Authority) RecordEnvelope(w *World) []byte {
	a.t.Helper()
	return a.Envelope(a.Statement(attest.TypeHostRecord, w.HostKey.Key.ID(), "", w.Record), w.HostKey)
}

// Revoke returns the bundle of a revocation in product.
func (a *Authority) Revoke(product, kind string, d attest.Digest) []byte {
	a.t.Helper()
	r := &attest.Revocation{Product: product, Kind: kind, Digest: d, Reason: "the test says so"}
	return a.Bundle(a.Statement(attest.TypeRevocation, d, "", r), a.Signer(string(attest.RoleRevocation)))
}

// RevokeKey returns the bundle of a revocation in product of what a key said at
// since or later.
func (a *Authority) RevokeKey(product string, key attest.Digest, since *attest.Since) []byte {
	a.t.Helper()
	r := &attest.Revocation{Product: product, Kind: attest.RevokeKey, Digest: key, Reason: "the test stole it", Since: since}
	return a.Bundle(a.Statement(attest.TypeRevocation, key, "", r), a.Signer(string(attest.RoleRevocation)))
}

// Since returns a place in the log, with a checkpoint of the log as it is.
func (a *Authority) Since(index int64) *attest.Since {
	a.t.Helper()
	return &attest.Since{LogIndex: index, Checkpoint: a.checkpoint()}
}

// Channel returns the bundle of a version of a channel.
func (a *Authority) Channel(c *attest.Channel) []byte {
	a.t.Helper()
	return a.Bundle(a.Statement(attest.TypeChannel, attest.ChannelID(c.Product, c.Name), "", c), a.Signer(string(attest.RoleChannel)))
}

func sampleEnvironment(builder attest.Digest, name string) *attest.Environment {
	digest := func(what string) attest.Digest { return attest.DigestOf([]byte(what)) }
	return &attest.Environment{
		BuilderImage:  builder,
		Compiler:      attest.Tool{Name: "gcc", Version: "gcc (Debian 12.2.0-14) 12.2.0", Digest: digest("gcc")},
		Assembler:     attest.Tool{Name: "as", Version: "GNU assembler 2.40", Digest: digest("as")},
		Linker:        attest.Tool{Name: "ld", Version: "GNU ld 2.40", Digest: digest("ld")},
		Flags:         []string{"-O2", "-fPIC", "-DNAME=" + name},
		MakeVariables: []attest.Variable{{Name: "V", Value: "1"}, {Name: "LTO", Value: "0"}},
		Configuration: digest("configuration"),
		Libraries: []attest.Library{
			{Soname: "libc.so.6", Version: "2.36", BuildID: "aa112233445566778899aabbccddeeff00112233"},
			{Soname: "libm.so.6", Version: "2.36", BuildID: "bb112233445566778899aabbccddeeff00112233"},
		},
		Target: attest.Target{Architecture: "x86_64", ByteOrder: "little", WordSize: 64, ABI: "sysv"},
	}
}

func samplePatch(w *World, digest func(string) attest.Digest) *attest.LivePatch {
	return &attest.LivePatch{
		Product: w.Product, Kind: attest.PatchELFTest, Base: w.BaseManifest, BaseFile: w.BaseFile.Digest,
		File: w.PatchFile, Unsigned: w.PatchFile.Digest, Code: digest("patch code"),
		Functions: []string{"parse_header"}, Imports: []string{"memcpy"}, Fixes: []string{"CVE-2026-0001"},
		Revertible: true,
	}
}

func sampleBuild(product, command string) *attest.Provenance {
	p := &attest.Provenance{BuildDefinition: attest.BuildDefinition{
		BuildType:          attest.BuildType,
		ExternalParameters: attest.ExternalParameters{Product: product, Command: []string{"sh", "-c", command}},
	}}
	p.RunDetails.Builder.ID = "https://builder.verifytest.example/1"
	p.RunDetails.Metadata.InvocationID = command
	p.RunDetails.Metadata.StartedOn = Epoch.Add(-time.Hour)
	return p
}

func dependencies(environment, builder attest.Digest) []attest.ResourceDescriptor {
	return []attest.ResourceDescriptor{
		{Name: attest.DependencyEnvironment, Digest: map[string]string{"sha256": environment.Hex()}},
		{Name: attest.DependencyBuilder, Digest: map[string]string{"sha256": builder.Hex()}},
		{Name: attest.DependencySource, Digest: map[string]string{"sha256": attest.DigestOf([]byte("source")).Hex()}},
	}
}
