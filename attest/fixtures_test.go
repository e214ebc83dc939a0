package attest_test

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/sigstore/sigstore/pkg/signature"
)

// The good documents that tests and vectors start from.

const (
	productID = "6f0f6c1e-7f0a-4c57-9d1b-2f6f4f1f7a10"
	otherID   = "0b9f1d5e-3c55-4e0b-8a5e-5d7d2a0f6c21"
	hostID    = "3d1a3c5e-90a7-4f0e-8a3e-2a5b5f6d7c88"
	bootID    = "9c6f2e34-6d2b-4f0c-b1a5-0c9d8e7f6a51"
)

func digest(name string) attest.Digest { return attest.DigestOf([]byte(name)) }

var (
	target = attest.Target{Architecture: "x86_64", ByteOrder: "little", WordSize: 64, ABI: "sysv"}

	baseFile  = attest.File{Digest: digest("base file"), Size: 16384}
	patchFile = attest.File{Digest: digest("patch file"), Size: 4096}
	measured  = attest.Measurement{Kind: attest.MeasureELFFile, Digest: baseFile.Digest, BuildID: "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"}
)

func goodEnvironment() *attest.Environment {
	return &attest.Environment{
		BuilderImage:  digest("builder manifest"),
		Compiler:      attest.Tool{Name: "gcc", Version: "gcc (Debian 12.2.0-14) 12.2.0", Digest: digest("gcc")},
		Assembler:     attest.Tool{Name: "as", Version: "GNU assembler (GNU Binutils for Debian) 2.40", Digest: digest("as")},
		Linker:        attest.Tool{Name: "ld", Version: "GNU ld (GNU Binutils for Debian) 2.40", Digest: digest("ld")},
		Flags:         []string{"-O2", "-fPIC", "-shared"},
		MakeVariables: []attest.Variable{{Name: "V", Value: "1"}},
		Configuration: attest.DigestOf(nil),
		Libraries: []attest.Library{
			{Soname: "ld-linux-x86-64.so.2", Version: "2.36", BuildID: "1111111111111111111111111111111111111111"},
			{Soname: "libc.so.6", Version: "2.36", BuildID: "2222222222222222222222222222222222222222"},
		},
		Target: target,
	}
}

func goodBase() *attest.Base {
	return &attest.Base{
		Product: productID, Kind: attest.BaseELFLibrary, File: baseFile, Environment: digest("environment"),
		Target: target, Measurements: []attest.Measurement{measured},
	}
}

func goodPatch() *attest.LivePatch {
	return &attest.LivePatch{
		Product: productID, Kind: attest.PatchELFTest,
		Base: digest("base manifest"), BaseFile: baseFile.Digest, Environment: digest("environment"),
		File: patchFile, Unsigned: patchFile.Digest, Code: digest("code"),
		Functions: []string{"parse_header"}, Imports: []string{"memcpy"}, Fixes: []string{"CVE-2026-12345"},
		Replaces: []attest.Digest{digest("older patch")}, Requires: []attest.Digest{}, Conflicts: []attest.Digest{},
		Revertible: true,
	}
}

func goodRecord() *attest.HostRecord {
	return &attest.HostRecord{
		Host: hostID, BootID: bootID, Sequence: 7, Nonce: "bm9uY2U",
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Target: target,
		Running: []attest.Running{{Product: productID, Measurement: measured}},
	}
}

func goodRevocation() *attest.Revocation {
	return &attest.Revocation{Product: productID, Kind: attest.RevokeSubject, Digest: digest("patch manifest"), Reason: "corrupts the header cache"}
}

func goodChannel() *attest.Channel {
	bases := []attest.ChannelBase{
		{Base: digest("base manifest"), Patches: []attest.Digest{digest("patch one"), digest("patch manifest")}, Superseded: []attest.Digest{digest("older patch")}},
		{Base: digest("other base"), Patches: []attest.Digest{}, Superseded: []attest.Digest{}},
	}
	slices.SortFunc(bases, func(a, b attest.ChannelBase) int { return cmp.Compare(a.Base, b.Base) })
	return &attest.Channel{
		Product: productID, Name: "stable", Version: 3, Expires: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
		Bases: bases, Revocations: []attest.Digest{digest("a revocation")},
	}
}

func goodProvenance() *attest.Provenance {
	p := new(attest.Provenance)
	p.BuildDefinition = attest.BuildDefinition{
		BuildType:          attest.BuildType,
		ExternalParameters: attest.ExternalParameters{Product: productID, Command: []string{"make", "lib.so"}},
		InternalParameters: attest.InternalParameters{Contained: false},
		ResolvedDependencies: []attest.ResourceDescriptor{
			{Name: attest.DependencyEnvironment, Digest: map[string]string{"sha256": digest("environment").Hex()}},
			{Name: attest.DependencyBuilder, URI: "oci://lib/demo", Digest: map[string]string{"sha256": digest("builder manifest").Hex()}},
		},
	}
	p.RunDetails.Builder.ID = "https://builder.example/one"
	p.RunDetails.Metadata.InvocationID = "build-17"
	p.RunDetails.Metadata.StartedOn = time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
	p.RunDetails.Metadata.FinishedOn = time.Date(2026, 3, 1, 11, 0, 9, 0, time.UTC)
	return p
}

// A said is one good statement before it is one.
type said struct {
	name      string
	typ       string
	subjects  []attest.Subject
	predicate any
}

func goodStatements(t testing.TB) []said {
	env := goodEnvironment()
	envDigest, err := env.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s := func(name string, d attest.Digest) attest.Subject { return attest.Subject{Name: name, Digest: d} }
	return []said{
		{"environment", attest.TypeEnvironment, []attest.Subject{s("lib/demo", digest("environment manifest")), s("environment.json", envDigest)}, env},
		{"base", attest.TypeBase, []attest.Subject{s("lib/demo", digest("base manifest")), s("libdemo.so.1", baseFile.Digest)}, goodBase()},
		{"livepatch", attest.TypeLivePatch, []attest.Subject{s("lib/demo", digest("patch manifest")), s("fix.so", patchFile.Digest)}, goodPatch()},
		{"host-record", attest.TypeHostRecord, []attest.Subject{s("host key", signerOf("host").public(t).ID())}, goodRecord()},
		{"revocation", attest.TypeRevocation, []attest.Subject{s("lib/demo", digest("patch manifest"))}, goodRevocation()},
		{"channel", attest.TypeChannel, []attest.Subject{s("lib/demo", attest.ChannelID(productID, "stable"))}, goodChannel()},
		{"import", attest.TypeImport, []attest.Subject{s("lib/demo", digest("base manifest")), s("vmlinuz", baseFile.Digest)}, goodImport()},
		{"import-patch", attest.TypeImport, []attest.Subject{s("lib/demo", digest("patch manifest")), s("fix.ko", patchFile.Digest)}, goodImportedPatch()},
		{"equivalence", attest.TypeEquivalence, []attest.Subject{s("lib/demo", digest("base manifest")), s("libdemo.so.1", baseFile.Digest)}, goodEquivalence()},
		{"equivalence-unobserved", attest.TypeEquivalence, []attest.Subject{s("lib/demo", digest("base manifest")), s("vmlinuz", baseFile.Digest)}, goodReconstruction()},
		{"rebuild", attest.TypeRebuild, []attest.Subject{s("lib/demo", digest("patch manifest")), s("fix.so", patchFile.Digest)}, goodRebuild()},
		{"adjudication", attest.TypeAdjudication, []attest.Subject{s("lib/demo", digest("patch manifest")), s("fix.so", patchFile.Digest)}, goodAdjudication()},
		{"provenance", attest.TypeProvenance, []attest.Subject{s("lib/demo", digest("base manifest")), s("libdemo.so.1", baseFile.Digest)}, goodProvenance()},
		{"unknown", "https://example.com/other/v1", []attest.Subject{s("lib/demo", digest("base manifest"))}, attest.Unknown(`{"any":"thing"}`)},
	}
}

func statementBytes(t testing.TB, name string) []byte {
	for _, s := range goodStatements(t) {
		if s.name == name {
			b, err := attest.NewStatement(s.typ, s.subjects, s.predicate)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no good statement %q", name)
	return nil
}

// A signer signs with a P-256 key made from its name, always with the same
// bytes (RFC 6979), so that vectors can be made again.
type signer struct{ key *ecdsa.PrivateKey }

func signerOf(name string) signer {
	sum := sha256.Sum256([]byte("patchfit test key " + name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		panic(err) // one of the constant names of these tests
	}
	return signer{key}
}

var _ signature.Signer = signer{}

func (s signer) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return s.key.Public(), nil
}

func (s signer) SignMessage(r io.Reader, _ ...signature.SignOption) ([]byte, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return s.key.Sign(nil, sum[:], crypto.SHA256)
}

func (s signer) public(t testing.TB) *attest.PublicKey {
	k, err := attest.NewPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, payloadType string, payload []byte, names ...string) []byte {
	e, err := attest.SignEnvelope(payloadType, payload, signerOf(names[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names[1:] {
		if e, err = attest.AddSignature(e, signerOf(name)); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// edit replaces the one place where old stands in b.
func edit(t testing.TB, b []byte, old, new string) []byte {
	if n := bytes.Count(b, []byte(old)); n != 1 {
		t.Fatalf("%q stands %d times in the document, want once:\n%s", old, n, b)
	}
	return bytes.Replace(b, []byte(old), []byte(new), 1)
}
