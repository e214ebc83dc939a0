package registry_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/build/object/objecttest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
)

// object returns an ELF file of a byte order.
func object(order binary.ByteOrder) []byte {
	f := &objecttest.File{Type: elf.ET_DYN, Order: order}
	f.Sections = []objecttest.Section{{Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: []byte("code")}}
	return f.Bytes()
}

// TestPatchesAreLookedInto: what was found is on record before the patch can be
// seen, once; what contradicts its base leaves nothing.
func TestPatchesAreLookedInto(t *testing.T) {
	s, one, _, _ := scene(t)
	base := artifact(attest.ArtifactBase, octets, object(binary.LittleEndian), one.environment).bytes(t)
	s.pushBlob(s.publisher, repo, object(binary.LittleEndian))
	s.push(base)
	wrong := bytes.Clone(object(binary.LittleEndian))
	wrong[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	s.pushBlob(s.publisher, repo, wrong)
	refused := artifact(attest.ArtifactPatch, octets, wrong, base).bytes(t)
	r := s.putManifest(s.publisher, repo, sum(refused), refused)
	if r.status != http.StatusForbidden || !strings.Contains(r.message(), "BASE_MISMATCH: lint elf.byte-order") || !strings.Contains(r.message(), "; build the patch") {
		t.Errorf("another byte order: %d %s", r.status, r.body)
	}
	if r := s.get(s.publisher, manifestPath(sum(refused))); r.status != http.StatusNotFound || s.count(ledger.KindLint) != 0 {
		t.Errorf("it was refused: %d, %d records", r.status, s.count(ledger.KindLint))
	}
	rebuilder, _ := s.Principal("rebuilder", state.RoleRebuilder)
	if r := s.putManifest(rebuilder, repo, sum(refused), refused); r.status != http.StatusForbidden || strings.Contains(r.message(), "lint") {
		t.Errorf("looked into for one who may put no patch: %d %s", r.status, r.body)
	}
	patch := artifact(attest.ArtifactPatch, octets, object(binary.LittleEndian), base).bytes(t)
	d := s.push(patch)
	s.push(patch)
	if n := s.count(ledger.KindLint); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
	found := s.State.Lint(repo, d)
	if found == nil || found.Linter != lint.Version {
		t.Fatalf("found %+v", found)
	}
	var order []ledger.Kind
	for _, r := range s.Journal.Records() {
		if r.Kind == ledger.KindLint || r.Kind == ledger.KindManifest && strings.Contains(string(r.Body), string(d)) {
			order = append(order, r.Kind)
		}
	}
	if len(order) != 2 || order[0] != ledger.KindLint {
		t.Errorf("records %v: the patch was seen before it was looked into", order)
	}
}
