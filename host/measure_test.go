package host

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lib.so")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func note(name string, kind uint32, desc []byte) []byte {
	n := slices.Concat(le32(uint32(len(name))), le32(uint32(len(desc))), le32(kind), []byte(name))
	n = append(n, make([]byte, -len(n)&3)...)
	n = append(n, desc...)
	return append(n, make([]byte, -len(n)&3)...)
}

func TestMeasure(t *testing.T) {
	id := []byte{0xde, 0xad, 0xbe, 0xef, 1, 2, 3}
	own := note("GNU\x00", ntGNUBuildID, id)
	for name, notes := range map[string][][]byte{
		"alone":             {own},
		"after another":     {slices.Concat(note("GNU\x00", 1, make([]byte, 16)), own)},
		"after an odd name": {slices.Concat(note("Linux!\x00", 6, []byte{1}), own)},
		"in two segments":   {note("GNU\x00", 5, make([]byte, 8)), own},
		"twice alike":       {own, own},
		"before garbage":    {slices.Concat(own, []byte("garbage"))},
	} {
		b := elfWith(t, "content", 4, notes...)
		m, err := Measure(write(t, b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := (attest.Measurement{Kind: attest.MeasureELFFile, Digest: attest.DigestOf(b), BuildID: "deadbeef010203"}); m != want {
			t.Errorf("%s: got %v, want %v", name, m, want)
		}
	}
}

// An 8-aligned segment, as .note.gnu.property makes them.
func TestMeasureEightAligned(t *testing.T) {
	property := slices.Concat(le32(4), le32(16), le32(5), []byte("GNU\x00"), make([]byte, 16))
	own := slices.Concat(le32(4), le32(4), le32(ntGNUBuildID), []byte("GNU\x00"), []byte{1, 2, 3, 4})
	m, err := Measure(write(t, elfWith(t, "", 8, slices.Concat(property, own))))
	if err != nil || m.BuildID != "01020304" {
		t.Errorf("%v, %v", m, err)
	}
}

func TestMeasureRefuses(t *testing.T) {
	own := note("GNU\x00", ntGNUBuildID, []byte{1, 2, 3, 4})
	good := elfWith(t, "content", 4, own)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"nothing there":    {filepath.Join(t.TempDir(), "none"), "no such file"},
		"a directory":      {t.TempDir(), "not a regular file"},
		"a named pipe":     {fifo, "not a regular file"},
		"a device":         {"/dev/zero", "not a regular file"},
		"text":             {write(t, []byte("#!/bin/sh\n")), "not an ELF file"},
		"empty":            {write(t, nil), "not an ELF file"},
		"half a header":    {write(t, good[:40]), "not an ELF file"},
		"no notes":         {write(t, elfWith(t, "content", 4)), "no GNU build-id"},
		"other notes":      {write(t, elfWith(t, "", 4, note("GNU\x00", 1, []byte{1}))), "no GNU build-id"},
		"other's note":     {write(t, elfWith(t, "", 4, note("GNX\x00", ntGNUBuildID, []byte{1}))), "no GNU build-id"},
		"empty build-id":   {write(t, elfWith(t, "", 4, note("GNU\x00", ntGNUBuildID, nil))), "no GNU build-id"},
		"note cut":         {write(t, good[:64+56+12]), "reading its notes"},
		"note too long":    {write(t, elfWith(t, "", 4, own[:14])), "no GNU build-id"},
		"two build-ids":    {write(t, elfWith(t, "", 4, own, note("GNU\x00", ntGNUBuildID, []byte{9}))), "two GNU build-ids"},
		"huge description": {write(t, elfWith(t, "", 4, slices.Concat(le32(4), le32(1<<31), le32(3), []byte("GNU\x00")))), "no GNU build-id"},
	} {
		if m, err := Measure(tc.path); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
			t.Errorf("%s: %v, %v; want %q and the path", name, m, err, tc.want)
		}
	}
}

// A build-id is an index, never an identity.
func TestMeasureTellsContentsApart(t *testing.T) {
	own := note("GNU\x00", ntGNUBuildID, []byte{1, 2, 3, 4})
	a, erra := Measure(write(t, elfWith(t, "one", 4, own)))
	b, errb := Measure(write(t, elfWith(t, "two", 4, own)))
	if erra != nil || errb != nil || a.BuildID != b.BuildID || a.Digest == b.Digest {
		t.Errorf("%v %v, %v %v", a, b, erra, errb)
	}
}

func TestTargetOf(t *testing.T) {
	h := elf.FileHeader{Class: elf.ELFCLASS64, Data: elf.ELFDATA2LSB, Machine: elf.EM_X86_64}
	if got, err := targetOf(&h); err != nil || got != (attest.Target{Architecture: "x86_64", ByteOrder: "little", WordSize: 64, ABI: "sysv"}) {
		t.Errorf("%+v, %v", got, err)
	}
	h = elf.FileHeader{Class: elf.ELFCLASS32, Data: elf.ELFDATA2MSB, Machine: elf.EM_S390, OSABI: elf.ELFOSABI_LINUX}
	if got, err := targetOf(&h); err != nil || got != (attest.Target{Architecture: "s390", ByteOrder: "big", WordSize: 32, ABI: "gnu"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, h := range []elf.FileHeader{{}, {Class: elf.ELFCLASS64}, {Class: elf.ELFCLASS64, Data: elf.ELFDATA2LSB, OSABI: elf.ELFOSABI_FREEBSD}} {
		if got, err := targetOf(&h); err == nil {
			t.Errorf("%+v is %+v", h, got)
		}
	}
}

// Libraries with GNU symbol types say ABI gnu, and run on the same machine.
func TestMachineHasTheABIOfItsBases(t *testing.T) {
	own := note("GNU\x00", ntGNUBuildID, []byte{1})
	sysv := elfWith(t, "", 4, own)
	gnu := bytes.Clone(sysv)
	gnu[elf.EI_OSABI] = byte(elf.ELFOSABI_LINUX)
	a, b := Base{Path: write(t, sysv)}, Base{Path: write(t, gnu)}
	for want, bases := range map[string][]Base{"sysv": {a}, "gnu": {b}} {
		if m, err := machineFor(bases); err != nil || m.ABI != want {
			t.Errorf("%v, %v; want ABI %s", m, err, want)
		}
	}
	this, err := target()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := machineFor([]Base{a, b}); err != nil || m != this {
		t.Errorf("%v, %v; want this machine's own, %v", m, err, this)
	}
}

func FuzzBuildID(f *testing.F) {
	own := note("GNU\x00", ntGNUBuildID, []byte{1, 2, 3, 4})
	f.Add(own, uint64(4))
	f.Add(slices.Concat(note("GNU\x00", 1, make([]byte, 16)), own), uint64(8))
	f.Fuzz(func(t *testing.T, notes []byte, align uint64) {
		id := gnuBuildID(notes, binary.LittleEndian, align)
		if id != nil && !bytes.Contains(notes, id) {
			t.Errorf("build-id %x is not in %x", id, notes)
		}
	})
}
