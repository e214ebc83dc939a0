// Package object reads what a compiled file says of itself: kernels, kernel
// modules, shared libraries, executables, and the formats of live patches.
//
//   - [Open] reads an ELF file's headers (elf.go), symbols (symbols.go) and
//     notes (notes.go); an appended module signature is cut off before
//     (signature.go).
//   - [DigestsOf] returns the digests by which two builds are compared
//     (digests.go, docs/spec/digests.md).
//   - [ReadModule], [ReadULP] and [ReadKpatch] read what a kernel module, a
//     libpulp patch and a libcare patch say.
//   - [ReadTable] reads the symbols of a base.
//
// Files come from strangers. What is read is bounded before it is read: by
// number, by size, and by the sum of both, so that neither memory nor time
// grows faster than the file does. What cannot be read is an error that names
// the place, never a panic and never half an answer. Nothing here opens a
// file, asks a clock or runs a program.
package object

import (
	"fmt"
	"io"
)

// Limits of what is read.
const (
	MaxFile     = 1 << 30 // bytes of a file
	maxSections = 1 << 16
	maxSegments = 1 << 10
	maxSymbols  = 2 << 20
	maxStrings  = 128 << 20 // bytes of a string table
	maxName     = 64 << 10  // bytes of one name
	maxNames    = 256 << 20 // bytes of all names of one table
	maxNotes    = 16 << 20  // bytes of all notes
	maxTimes    = 8         // times a file's size that its parts may add up to
)

// A FormatError reports that a file is not what it says it is.
type FormatError struct {
	Place string // "section header 3"
	Fact  string
}

func (e *FormatError) Error() string { return e.Place + ": " + e.Fact }

func malformed(place, format string, args ...any) error {
	return &FormatError{place, fmt.Sprintf(format, args...)}
}

// take returns n bytes at off, which have to be there.
func take(r io.ReaderAt, place string, off, n, size uint64) ([]byte, error) {
	if off > size || n > size-off {
		return nil, malformed(place, "%d bytes at %d are outside the file of %d", n, off, size)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, int64(off)); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return b, nil
}
