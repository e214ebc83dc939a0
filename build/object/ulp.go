package object

import (
	"encoding/hex"
	"strings"
)

// maxULP is how much of it libpulp reads (include/ulp_common.h,
// ULP_METADATA_BUF_LEN).
const maxULP = 512 << 10

// Kinds of libpulp metadata.
const (
	ulpPatch  = 1
	ulpRevert = 2
)

// A ULP is the metadata of a libpulp live patch: the section .ulp of a shared
// library, or .ulp.rev, which takes it off.
type ULP struct {
	Revert    bool
	PatchID   string // hex
	BuildID   string // of the library it is for, hex
	Target    string // name of that library
	Units     []ULPUnit
	Depends   []string // patch ids, hex
	Variables []ULPVariable
}

// A ULPUnit replaces one function.
type ULPUnit struct {
	Old, New string
	Address  uint64 // of the old one in the library
}

// A ULPVariable leads the patch to a variable of the library.
type ULPVariable struct {
	Target, Reference string
	TargetOffset      uint64
	PatchOffset       uint64
	TLS               bool
}

// ReadULP returns the metadata of e in section .ulp, or in .ulp.rev; nil where
// there is none.
func ReadULP(e *ELF, section string) (*ULP, error) {
	s := e.Section(section)
	if s == nil {
		return nil, nil
	}
	b, err := e.Bytes(s, maxULP)
	if err != nil {
		return nil, err
	}
	return parseULP(b, section, e)
}

// parseULP reads what libpulp's packer writes (tools/packer.c): numbers in the
// byte order, and addresses in the size, of the machine.
func parseULP(b []byte, section string, e *ELF) (*ULP, error) {
	p := &pulp{fields: fields{e.Order(), b, e.layout().wide}, place: "section " + section}
	u := &ULP{}
	switch kind := p.octet(); kind {
	case ulpPatch:
	case ulpRevert:
		u.Revert = true
	default:
		p.fail("type %d, want 1 or 2", kind)
	}
	u.PatchID = hex.EncodeToString(p.take(32))
	u.BuildID = hex.EncodeToString(p.take(p.length()))
	u.Target = p.name()
	if !u.Revert {
		p.body(u)
	}
	if p.err == nil && len(p.b) > 0 {
		p.fail("%d bytes after its end", len(p.b))
	}
	if p.err != nil {
		return nil, p.err
	}
	return u, nil
}

// pulp reads libpulp metadata up to the first thing that is not there.
type pulp struct {
	fields
	place string
	err   error
}

func (p *pulp) body(u *ULP) {
	for n := p.count(16); n > 0 && p.err == nil; n-- {
		u.Units = append(u.Units, ULPUnit{p.name(), p.name(), p.address()})
	}
	for n := p.count(32); n > 0 && p.err == nil; n-- {
		u.Depends = append(u.Depends, hex.EncodeToString(p.take(32)))
	}
	for n := p.count(17); n > 0 && p.err == nil; n-- {
		u.Variables = append(u.Variables, ULPVariable{p.name(), p.name(), p.address(), p.address(), p.octet() != 0})
	}
}

func (p *pulp) fail(format string, args ...any) {
	if p.err == nil {
		p.err = malformed(p.place, format, args...)
	}
}

func (p *pulp) has(n uint64) bool {
	if n > uint64(len(p.b)) {
		p.fail("ends %d bytes early", n-uint64(len(p.b)))
	}
	return p.err == nil
}

func (p *pulp) octet() uint8 {
	if !p.has(1) {
		return 0
	}
	return p.byte()
}

func (p *pulp) length() uint64 {
	if !p.has(4) {
		return 0
	}
	return uint64(p.word())
}

// count reads how many entries of at least size bytes follow.
func (p *pulp) count(size uint64) uint64 {
	n := p.length()
	p.has(n * size)
	return n
}

func (p *pulp) address() uint64 {
	n := uint64(4)
	if p.wide {
		n = 8
	}
	if !p.has(n) {
		return 0
	}
	return p.natural()
}

func (p *pulp) take(n uint64) []byte {
	if !p.has(n) {
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

// name reads a string, with or without the zero byte that ends it.
func (p *pulp) name() string {
	s := strings.TrimSuffix(string(p.take(p.length())), "\x00")
	if strings.Contains(s, "\x00") {
		p.fail("a name with a zero byte")
	}
	return s
}
