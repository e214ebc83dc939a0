package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits of a header, which RPM has too (lib/header.c).
const (
	maxTags  = 65_535
	maxStore = 256 << 20

	headerMagic = "\x8e\xad\xe8\x01\x00\x00\x00\x00"
	headerSize  = 16
	entrySize   = 16
)

// Types of values in a header.
const (
	typeInt32       = 4
	typeString      = 6
	typeBinary      = 7
	typeStringArray = 8
	typeI18NString  = 9
)

// A header is a table of values by tag. All that is in it lies in its bytes.
type header struct {
	entries map[uint32]entry
	store   []byte
}

type entry struct{ typ, offset, count uint32 }

// parseHeader reads the header that b begins with, and returns what comes after
// it and its padding.
func parseHeader(b []byte, align int) (h *header, rest []byte, err error) {
	if len(b) < headerSize || !bytes.HasPrefix(b, []byte(headerMagic)) {
		return nil, nil, errors.New("it does not begin as one does")
	}
	tags, size := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if tags == 0 || tags > maxTags || size > maxStore || uint64(len(b)) < headerSize+entrySize*uint64(tags)+uint64(size) {
		return nil, nil, fmt.Errorf("it says it has %d values in %d bytes, and is cut off or too large", tags, size)
	}
	index := b[headerSize : headerSize+entrySize*int(tags)]
	whole := headerSize + len(index) + int(size)
	h = &header{make(map[uint32]entry, tags), b[headerSize+len(index) : whole]}
	for ; len(index) > 0; index = index[entrySize:] {
		u := func(i int) uint32 { return binary.BigEndian.Uint32(index[4*i:]) }
		tag, e := u(0), entry{u(1), u(2), u(3)}
		if _, twice := h.entries[tag]; twice || e.offset > size {
			return nil, nil, fmt.Errorf("value %d stands twice, or lies outside", tag)
		}
		h.entries[tag] = e
	}
	pad := (align - whole%align) % align
	if len(b) < whole+pad {
		return nil, nil, errors.New("it is cut off")
	}
	return h, b[whole+pad:], nil
}

// binary returns the bytes of a value; nil where there is none of that type.
func (h *header) binary(tag uint32) []byte {
	e, ok := h.entries[tag]
	if !ok || e.typ != typeBinary || uint64(e.offset)+uint64(e.count) > uint64(len(h.store)) {
		return nil
	}
	return h.store[e.offset : e.offset+e.count]
}

// number returns the i-th number of a value.
func (h *header) number(tag uint32, i int) (uint32, bool) {
	e, ok := h.entries[tag]
	at := uint64(e.offset) + 4*uint64(i)
	if !ok || e.typ != typeInt32 || uint64(i) >= uint64(e.count) || at+4 > uint64(len(h.store)) {
		return 0, false
	}
	return binary.BigEndian.Uint32(h.store[at:]), true
}

// texts returns the texts of a value; none where one does not end.
func (h *header) texts(tag uint32) []string {
	e, ok := h.entries[tag]
	if !ok || e.typ != typeString && e.typ != typeStringArray && e.typ != typeI18NString {
		return nil
	}
	b := h.store[e.offset:]
	if uint64(e.count) > uint64(len(b)) { // each has a byte at least: its end
		return nil
	}
	all := make([]string, 0, e.count)
	for range e.count {
		s, rest, ended := bytes.Cut(b, []byte{0})
		if !ended {
			return nil
		}
		all, b = append(all, string(s)), rest
	}
	return all
}

func (h *header) text(tag uint32) string {
	if all := h.texts(tag); len(all) > 0 {
		return all[0]
	}
	return ""
}
