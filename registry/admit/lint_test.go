package admit_test

import (
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/object/objecttest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/verify"
)

// library returns a shared library with a build-id of such bytes.
func library(order binary.ByteOrder, id byte, more ...objecttest.Section) []byte {
	f := &objecttest.File{Type: elf.ET_DYN, Order: order}
	f.Sections = append(more, objecttest.Section{Name: ".note.gnu.build-id", Type: elf.SHT_NOTE, Align: 4, Data: f.Note("GNU", 3, []byte(strings.Repeat(string(id), 20)))})
	return f.Bytes()
}

// pulp returns a libpulp patch for the library with a build-id of such bytes.
func pulp(id string) []byte {
	u := object.ULP{PatchID: strings.Repeat("01", 32), BuildID: strings.Repeat(id, 20), Target: "lib.so"}
	return library(nil, 'p', objecttest.Section{Name: ".ulp", Data: (&objecttest.File{}).ULP(u)})
}

// attached puts a base with this file, and returns the manifest of a patch.
func (y *yard) attached(base, patch []byte) doc {
	y.t.Helper()
	w := y.World("one")
	y.files[attest.DigestOf(base)], y.files[attest.DigestOf(patch)] = base, patch
	b := manifest(attest.ArtifactBase, octets, base).with("subject", subjectOf(w.EnvManifest))
	if _, err := y.put(b); err != nil {
		y.t.Fatal(err)
	}
	return manifest(attest.ArtifactPatch, octets, patch).with("subject", subjectOf(y.PutManifest(y.encode(b))))
}

func TestPatchesAreLookedInto(t *testing.T) {
	y := newYard(t)
	m := y.attached(library(nil, 'a'), pulp("61"))
	got, err := y.put(m)
	if err != nil || got.Look == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	r := got.Look.Report
	if r.Facts.Kind != lint.KindULP || r.Patch != attest.DigestOf(pulp("61")) || r.Base != attest.DigestOf(library(nil, 'a')) || r.Has(lint.TargetBuildID) {
		t.Errorf("%s", got.Look.Raw)
	}
	d := attest.DigestOf(y.encode(m))
	y.Must(ledger.KindLint, ledger.Linted{Repository: repo, Digest: d, Report: y.Put(got.Look.Raw), Linter: lint.Version, By: y.Admin})
	if l := y.State.Lint(repo, d); l == nil || l.Linter != lint.Version {
		t.Errorf("the state knows %+v", l)
	}
	if got, err := y.put(m); err != nil || got.Look != nil {
		t.Errorf("the same again is looked into again: %+v, %v", got, err)
	}
	if got, err := y.put(y.attached(library(nil, 'a'), []byte("a script"))); err != nil || got.Look != nil {
		t.Errorf("what nothing is known about: %+v, %v", got, err)
	}
}

// TestContradictionsAreRefused: patch and base cannot belong together.
func TestContradictionsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		base, patch []byte
		says        string
	}{
		"build-id":   {library(nil, 'a'), pulp("62"), "lint target.build-id"},
		"byte order": {library(binary.BigEndian, 'a'), library(nil, 'p'), "lint elf.byte-order"},
		"flipped": {library(nil, 'a'), func() []byte {
			b := library(nil, 'p')
			b[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
			return b
		}(), "lint elf.byte-order"},
	} {
		y := newYard(t)
		_, err := y.put(y.attached(c.base, c.patch))
		refused(t, name, err, verify.BaseMismatch, c.says)
	}
}
