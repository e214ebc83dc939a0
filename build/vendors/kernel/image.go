// Package kernel reads what a host can measure of a running kernel, and of a
// loaded module, from the files a vendor ships: the image as it is booted, and
// the module. docs/spec/base.md says what the measurements are.
package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/patchfit/patchfit/build/vendors/unpack"
)

// MaxImage is how many bytes a kernel has, unpacked.
const MaxImage = 512 << 20

// Where things are in the header of an x86 boot image (Linux,
// Documentation/arch/x86/boot.rst).
const (
	atSetupSects    = 0x1f1
	atMagic         = 0x202
	atVersion       = 0x206
	atPayload       = 0x248
	atPayloadLength = 0x24c
	bootHeader      = 0x250

	bootMagic       = "HdrS"
	payloadSince    = 0x0208 // of the boot protocol
	sectorSize      = 512
	defaultSetup    = 4 // sectors, where the header says 0
	elfMagic        = "\x7fELF"
	sizeAfterStream = 4 // what the payload unpacks to, little-endian; gzip has it by itself
)

// IsImage reports whether b begins as a boot image does, or as a kernel's ELF
// file could.
func IsImage(b []byte) bool {
	return len(b) >= bootHeader && string(b[atMagic:atMagic+4]) == bootMagic
}

// ELF returns the kernel's ELF file out of a boot image of x86 (bzImage). Where
// b is an ELF file already, it is that.
func ELF(b []byte) ([]byte, error) {
	if bytes.HasPrefix(b, []byte(elfMagic)) {
		return b, nil
	}
	if !IsImage(b) {
		return nil, errors.New("neither an ELF file nor a boot image of x86: of other machines only ELF files are read")
	}
	if v := binary.LittleEndian.Uint16(b[atVersion:]); v < payloadSince {
		return nil, fmt.Errorf("boot image of protocol %#x does not say where its payload is, want %#x or later", v, payloadSince)
	}
	setup := uint64(b[atSetupSects])
	if setup == 0 {
		setup = defaultSetup
	}
	start := (setup+1)*sectorSize + uint64(binary.LittleEndian.Uint32(b[atPayload:]))
	end := start + uint64(binary.LittleEndian.Uint32(b[atPayloadLength:]))
	if start >= end || end > uint64(len(b)) {
		return nil, fmt.Errorf("the boot image says its payload is at %d to %d, it has %d bytes", start, end, len(b))
	}
	elf, err := payload(b[start:end])
	if err != nil {
		return nil, fmt.Errorf("payload of the boot image: %w", err)
	}
	if !bytes.HasPrefix(elf, []byte(elfMagic)) {
		return nil, errors.New("payload of the boot image: not an ELF file")
	}
	return elf, nil
}

// payload unpacks what a boot image carries: the stream, and how large it is
// unpacked.
func payload(b []byte) ([]byte, error) {
	if !unpack.Compressed(b) {
		return nil, fmt.Errorf("begins with %x, which is not gzip, xz, zstd or LZ4", b[:min(4, len(b))])
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return unpack.All(b, MaxImage)
	}
	if len(b) <= sizeAfterStream {
		return nil, errors.New("cut off")
	}
	stream, size := b[:len(b)-sizeAfterStream], binary.LittleEndian.Uint32(b[len(b)-sizeAfterStream:])
	elf, err := unpack.All(stream, MaxImage)
	if err != nil {
		return nil, err
	}
	if uint64(len(elf)) != uint64(size) {
		return nil, fmt.Errorf("unpacks to %d bytes, it says %d", len(elf), size)
	}
	return elf, nil
}
