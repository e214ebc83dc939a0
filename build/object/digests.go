package object

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/patchfit/patchfit/attest"
)

// Digests are what two builds of one thing are compared by, from the strictest
// to the one that asks least. docs/spec/digests.md.
type Digests struct {
	File             attest.Digest `json:"file"`
	WithoutSignature attest.Digest `json:"withoutSignature"` // without a signature appended to a module
	WithoutDebug     attest.Digest `json:"withoutDebug"`     // and without debug information
	Code             attest.Digest `json:"code"`             // and without the bytes of the build-id
}

// DigestsOf returns the digests of the file r of size bytes. A file of
// a kind nobody knows here has nothing that could be left out: all are the
// file's. An ELF file or a libcare patch that cannot be read is an error.
func DigestsOf(r io.ReaderAt, size int64) (Digests, error) {
	if size < 0 || size > MaxFile {
		return Digests{}, malformed("file", "%d bytes, want at most %d", size, MaxFile)
	}
	file, err := sum(r, size)
	if err != nil {
		return Digests{}, err
	}
	d := Digests{File: file, WithoutSignature: file, WithoutDebug: file, Code: file}
	if IsKpatch(r) {
		if err := kpatchDigests(r, size, &d); err != nil {
			return Digests{}, err
		}
		return d, nil
	}
	if _, ok := ReadIdent(r); !ok {
		return d, nil
	}
	e, err := Open(r, size)
	if err != nil {
		return Digests{}, err
	}
	if err := e.digests(&d); err != nil {
		return Digests{}, err
	}
	return d, nil
}

func (e *ELF) digests(d *Digests) error {
	var err error
	if e.Signature != nil {
		if d.WithoutSignature, err = sum(e.r, int64(e.size)); err != nil {
			return err
		}
	}
	if d.WithoutDebug, err = e.digest(e.spots); err != nil {
		return err
	}
	ids, err := e.buildIDs()
	if err != nil {
		return err
	}
	d.Code = d.WithoutDebug
	if len(ids) > 0 {
		d.Code, err = e.digest(append(ids, e.spots...))
	}
	return err
}

// sum returns the digest of the first size bytes of r.
func sum(r io.ReaderAt, size int64) (attest.Digest, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(r, 0, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("reading the file: %w", err)
	}
	return attest.DigestFromSum(h.Sum(nil)), nil
}

// formOf returns the digest of a form that consists of some parts.
func formOf(form string, parts ...[]byte) attest.Digest {
	h := sha256.New()
	for _, p := range append([][]byte{[]byte(form)}, parts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	return attest.DigestFromSum(h.Sum(nil))
}

// buildIDs returns where in the file the bytes of its build-ids are.
func (e *ELF) buildIDs() ([]span, error) {
	notes, err := e.Notes()
	if err != nil {
		return nil, err
	}
	var list []span
	for _, n := range notes {
		if n.Name == "GNU" && n.Type == noteGNUBuildID && len(list) < maxSegments {
			list = append(list, n.desc)
		}
	}
	return list, nil
}

// FileDigest returns the digest of the file r of size bytes.
func FileDigest(r io.ReaderAt, size int64) (attest.Digest, error) { return sum(r, size) }
