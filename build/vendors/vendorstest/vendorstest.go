// Package vendorstest makes what vendors hand out, for tests: keys, Debian
// archives with one package, RPM packages, boot images and ELF files. All of it
// is made here, and is as small as it can be; the signatures are real ones.
package vendorstest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/vendors/debian"
)

// Epoch is when everything here was signed.
var Epoch = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// A Key is a vendor's.
type Key struct {
	Keyring     []byte
	Fingerprint string
	entity      *pgp.Entity
}

func config() *packet.Config {
	return &packet.Config{RSABits: 2048, Time: func() time.Time { return Epoch }}
}

// NewKey returns a fresh key. It was made at Epoch.
func NewKey(t testing.TB) *Key {
	t.Helper()
	e, err := pgp.NewEntity("A Vendor", "", "vendor@example.org", config())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return &Key{b.Bytes(), hex.EncodeToString(e.PrimaryKey.Fingerprint), e}
}

// Clearsign returns text, signed.
func (k *Key) Clearsign(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, k.entity.PrivateKey, config())
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

// Sign returns a detached signature over b.
func (k *Key) Sign(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := pgp.DetachSign(&out, k.entity, bytes.NewReader(b), config()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A File is one in a package.
type File struct {
	Path string
	Data []byte
	Link string // of a symbolic link
}

// Gzip compresses b.
func Gzip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // into memory
	_ = w.Close()
	return out.Bytes()
}

// Tar returns a tar of files.
func Tar(t testing.TB, files ...File) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.Path, Mode: 0o644, Size: int64(len(f.Data)), Typeflag: tar.TypeReg, ModTime: Epoch}
		if f.Link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Ar returns an ar archive: names and bodies by turns.
func Ar(members ...[]byte) []byte {
	out := []byte("!<arch>\n")
	for i := 0; i+1 < len(members); i += 2 {
		name, body := members[i], members[i+1]
		out = append(out, fmt.Sprintf("%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, Epoch.Unix(), 0, 0, 0o100644, len(body))...)
		out = append(out, body...)
		if len(body)%2 == 1 {
			out = append(out, '\n')
		}
	}
	return out
}

// Deb returns a package of files, called name.
func Deb(t testing.TB, about attest.Package, files ...File) []byte {
	t.Helper()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nDescription: a test\n more of it\n", about.Name, about.Version, about.Architecture)
	return Ar([]byte("debian-binary"), []byte("2.0\n"),
		[]byte("control.tar.gz"), Gzip(Tar(t, File{Path: "./control", Data: []byte(control)})),
		[]byte("data.tar.gz"), Gzip(Tar(t, files...)))
}

// Index returns a paragraph of Packages about a package.
func Index(about attest.Package, deb []byte) string {
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nFilename: pool/main/%s.deb\nSize: %d\nSHA256: %s\n\n",
		about.Name, about.Version, about.Architecture, about.Name, len(deb), attest.DigestOf(deb).Hex())
}

// Release returns the text of an InRelease that names an index.
func Release(packages []byte) string {
	return fmt.Sprintf("Origin: Example\nSuite: stable\nDate: %s\nValid-Until: %s\nSHA256:\n %s %d main/binary-amd64/Packages\n %s 7 main/binary-amd64/Release\n",
		Epoch.Format("Mon, 02 Jan 2006 15:04:05 UTC"), Epoch.AddDate(0, 0, 7).Format("Mon, 02 Jan 2006 15:04:05 UTC"),
		attest.DigestOf(packages).Hex(), len(packages), strings.Repeat("0a", 32))
}

// Archive returns the whole chain of a package.
func Archive(t testing.TB, k *Key, about attest.Package, files ...File) debian.Chain {
	t.Helper()
	deb := Deb(t, about, files...)
	other := attest.Package{Name: "another", Version: "1", Architecture: "all"}
	index := []byte(Index(other, []byte("another")) + Index(about, deb))
	return debian.Chain{InRelease: k.Clearsign(t, Release(index)), Packages: index, Package: deb}
}

// A Section is one of an ELF file.
type Section struct {
	Name  string
	Type  uint32 // SHT_…
	Flags uint64
	Data  []byte
}

// ELF returns an ELF file of 64 bits for x86_64 with these sections and no
// segments. kind is its type: 1 an object, 2 an executable, 3 a shared one.
func ELF(order binary.ByteOrder, kind uint16, sections ...Section) []byte {
	const header, entry = 64, 64
	names := []byte{0}
	all := append([]Section{{}}, sections...)
	var body []byte
	type place struct{ name, offset int }
	places := make([]place, len(all)+1)
	for i, s := range all {
		if i > 0 {
			places[i].name = len(names)
			names = append(append(names, s.Name...), 0)
		}
		places[i].offset = header + len(body)
		body = append(body, s.Data...)
		body = append(body, make([]byte, (8-len(body)%8)%8)...)
	}
	all = append(all, Section{Name: ".shstrtab", Type: 3})
	last := len(all) - 1
	places[last].name = len(names)
	names = append(names, ".shstrtab\x00"...)
	all[last].Data = names
	places[last].offset = header + len(body)
	body = append(body, names...)
	body = append(body, make([]byte, (8-len(body)%8)%8)...)

	out := make([]byte, header)
	copy(out, "\x7fELF\x02\x01\x01")
	if order == binary.ByteOrder(binary.BigEndian) {
		out[5] = 2
	}
	order.PutUint16(out[16:], kind)
	order.PutUint16(out[18:], 62)
	order.PutUint32(out[20:], 1)
	order.PutUint64(out[40:], uint64(header+len(body)))
	order.PutUint16(out[52:], header)
	order.PutUint16(out[58:], entry)
	order.PutUint16(out[60:], uint16(len(all)))
	order.PutUint16(out[62:], uint16(last))
	out = append(out, body...)
	for i, s := range all {
		h := make([]byte, entry)
		order.PutUint32(h, uint32(places[i].name))
		order.PutUint32(h[4:], s.Type)
		order.PutUint64(h[8:], s.Flags)
		if i > 0 {
			order.PutUint64(h[24:], uint64(places[i].offset))
			order.PutUint64(h[32:], uint64(len(s.Data)))
			order.PutUint64(h[48:], 1)
		}
		out = append(out, h...)
	}
	return out
}

// Note returns one ELF note.
func Note(order binary.ByteOrder, owner string, typ uint32, desc []byte) []byte {
	name := append([]byte(owner), 0)
	out := make([]byte, 12)
	order.PutUint32(out, uint32(len(name)))
	order.PutUint32(out[4:], uint32(len(desc)))
	order.PutUint32(out[8:], typ)
	for _, part := range [][]byte{name, desc} {
		out = append(out, part...)
		out = append(out, make([]byte, (4-len(part)%4)%4)...)
	}
	return out
}

// BuildID returns the build-id of what is called name.
func BuildID(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:20]
}

// Image returns a boot image of x86 with a payload as it is, at its place.
func Image(payload []byte) []byte {
	b := make([]byte, 2*512, 2*512+64+len(payload))
	b[0x1f1] = 1
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x020f)
	binary.LittleEndian.PutUint32(b[0x248:], 64)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload)))
	return append(append(b, make([]byte, 64)...), payload...)
}

// Kernel returns the ELF file of a kernel called name.
func Kernel(name string) []byte {
	order := binary.LittleEndian
	notes := Note(order, "Xen", 1, []byte("an address of "+name))
	notes = append(notes, Note(order, "GNU", 3, BuildID(name))...)
	notes = append(notes, Note(order, "Linux", 0x100, []byte(name+"\x00"))...)
	return ELF(order, 2,
		Section{".text", 1, 6, []byte("the code of " + name)}, Section{".notes", 7, 2, notes}, Section{".BTF", 1, 2, []byte("the types of " + name)})
}

// Module returns a kernel module called name, with more lines of modinfo.
func Module(name string, info ...string) []byte {
	order := binary.LittleEndian
	return ELF(order, 1,
		Section{".text", 1, 6, []byte("the code of " + name)},
		Section{".modinfo", 1, 2, []byte(strings.Join(append([]string{"name=" + name, "vermagic=6.1.0 SMP"}, info...), "\x00") + "\x00")},
		Section{".note.gnu.build-id", 7, 2, Note(order, "GNU", 3, BuildID(name))},
		Section{".note.Linux", 7, 2, Note(order, "Linux", 0x100, []byte("6.1.0\x00"))})
}

// Library returns a shared library called name.
func Library(name string) []byte {
	order := binary.LittleEndian
	return ELF(order, 3, Section{".text", 1, 6, []byte("the code of " + name)},
		Section{".note.gnu.build-id", 7, 2, Note(order, "GNU", 3, BuildID(name))})
}
