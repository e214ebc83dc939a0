package vendorstest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// A Tag is one value of an RPM header: a uint32, a []uint32, a string, a
// []string or a []byte.
type Tag struct {
	Tag   uint32
	Value any
}

// Header returns an RPM header of these values.
func Header(tags ...Tag) []byte {
	var index, store []byte
	for _, t := range tags {
		typ, count, data := uint32(0), uint32(1), []byte(nil)
		switch v := t.Value.(type) {
		case uint32:
			typ, data = 4, binary.BigEndian.AppendUint32(nil, v)
		case []uint32:
			typ, count = 4, uint32(len(v))
			for _, n := range v {
				data = binary.BigEndian.AppendUint32(data, n)
			}
		case string:
			typ, data = 6, append([]byte(v), 0)
		case []string:
			typ, count = 8, uint32(len(v))
			for _, s := range v {
				data = append(append(data, s...), 0)
			}
		case []byte:
			typ, count, data = 7, uint32(len(v)), v
		}
		if typ == 4 {
			store = append(store, make([]byte, (4-len(store)%4)%4)...)
		}
		for _, n := range []uint32{t.Tag, typ, uint32(len(store)), count} {
			index = binary.BigEndian.AppendUint32(index, n)
		}
		store = append(store, data...)
	}
	out := []byte("\x8e\xad\xe8\x01\x00\x00\x00\x00")
	out = binary.BigEndian.AppendUint32(out, uint32(len(tags)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(store)))
	return append(append(out, index...), store...)
}

// Cpio returns a cpio archive of files, in the form newc.
func Cpio(files ...File) []byte {
	var out bytes.Buffer
	pad := func() { out.Write(make([]byte, (4-out.Len()%4)%4)) }
	entry := func(name string, mode, size int) {
		fmt.Fprintf(&out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0)
		out.WriteString(name + "\x00")
		pad()
	}
	for _, f := range files {
		mode, data := 0o100644, f.Data
		if f.Link != "" {
			mode, data = 0o120777, []byte(f.Link)
		}
		entry("./"+f.Path, mode, len(data))
		out.Write(data)
		pad()
	}
	entry("TRAILER!!!", 0, 0)
	return out.Bytes()
}

// HeaderOf returns the header of a package with this payload.
func HeaderOf(about attest.Package, payload []byte, files ...File) []Tag {
	var names, dirs, digests []string
	var indexes []uint32
	for i, f := range files {
		names, dirs = append(names, path.Base(f.Path)), append(dirs, "/"+path.Dir(f.Path)+"/")
		indexes = append(indexes, uint32(i))
		digest := attest.DigestOf(f.Data).Hex()
		if f.Link != "" {
			digest = ""
		}
		digests = append(digests, digest)
	}
	return []Tag{
		{1000, about.Name}, {1001, about.Version}, {1002, "2"}, {1011, "Example, Inc."}, {1022, about.Architecture},
		{1035, digests}, {1116, indexes}, {1117, names}, {1118, dirs}, {1124, "cpio"}, {1125, "gzip"},
		{5011, uint32(8)}, {5092, []string{attest.DigestOf(payload).Hex()}}, {5093, uint32(8)},
	}
}

// Pack returns the package of a header, signed, and a payload.
func (k *Key) Pack(t testing.TB, header, payload []byte) []byte {
	t.Helper()
	return PackWith(Header(Tag{268, k.Sign(t, header)}), header, payload)
}

// PackWith does so with any signature header.
func PackWith(signatures, header, payload []byte) []byte {
	lead := make([]byte, 96)
	copy(lead, "\xed\xab\xee\xdb\x03\x00")
	signatures = append(bytes.Clone(signatures), make([]byte, (8-len(signatures)%8)%8)...)
	return bytes.Join([][]byte{lead, signatures, header, payload}, nil)
}

// RPM returns a package of files, signed.
func RPM(t testing.TB, k *Key, about attest.Package, files ...File) []byte {
	t.Helper()
	payload := Gzip(Cpio(files...))
	return k.Pack(t, Header(HeaderOf(about, payload, files...)...), payload)
}
