package unpack_test

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/patchfit/patchfit/build/vendors/unpack"
	"github.com/patchfit/patchfit/build/vendors/vendorstest"
	"github.com/patchfit/patchfit/internal/machinetest"
)

const text = "what is in a package, what is in a package\n"

// xzText is text, by xz.
const xzText = "fd377a585a000004e6d6b4460200210116000000742fe5a3e0002a00185d003bba0a2cd4c0d4f0d5b3bf2b08d6a7bc57bd0d4ef4d0a8d1000000000000000000"

func compressed(t testing.TB) map[string][]byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := func(o ...lz4.Option) []byte {
		var b bytes.Buffer
		w := lz4.NewWriter(&b)
		if err := w.Apply(o...); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	return map[string][]byte{
		"plain": []byte(text), "gzip": vendorstest.Gzip([]byte(text)), "zstd": w.EncodeAll([]byte(text), nil),
		"LZ4": frame(), "LZ4 as Linux has it": frame(lz4.LegacyOption(true)),
	}
}

func TestAll(t *testing.T) {
	for name, b := range compressed(t) {
		got, err := unpack.All(b, int64(len(text)))
		if err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if unpack.Compressed(b) != (name != "plain") {
			t.Errorf("%s is compressed: %t", name, unpack.Compressed(b))
		}
		if _, err := unpack.All(b, int64(len(text))-1); !errors.Is(err, unpack.ErrTooLarge) {
			t.Errorf("%s, a byte too much: %v", name, err)
		}
		if name != "plain" {
			if got, err := unpack.All(b[:len(b)-5], 1<<20); err == nil && string(got) == text && name != "LZ4" {
				t.Errorf("%s, cut off: %q", name, got)
			}
		}
	}
}

// TestXZ: with the filter for x86 code, too, as kernels are packed.
func TestXZ(t *testing.T) {
	machinetest.Tools(t, "xz")
	for name, args := range map[string][]string{"as packages are": nil, "as kernels are": {"--check=crc32", "--x86", "--lzma2=dict=1MiB"}} {
		cmd := exec.Command("xz", append([]string{"--stdout"}, args...)...)
		cmd.Stdin = strings.NewReader(text)
		b, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unpack.All(b, 1<<20); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		b[len(b)/2] ^= 1
		if _, err := unpack.All(b, 1<<20); err == nil {
			t.Errorf("%s: a changed bit is not seen", name)
		}
	}
}

// TestBomb: ten thousand times what it takes, and no more is read than allowed.
func TestBomb(t *testing.T) {
	bomb := vendorstest.Gzip(make([]byte, 64<<20))
	if _, err := unpack.All(bomb, 1<<20); !errors.Is(err, unpack.ErrTooLarge) {
		t.Errorf("%d bytes: %v", len(bomb), err)
	}
}

// entries lists what an archive has.
func entries(walk func(unpack.Visit) error) (map[string]string, error) {
	got := map[string]string{}
	err := walk(func(e unpack.Entry, content io.Reader) error {
		b, err := unpack.ReadFile(e, content)
		got[e.Path] = string(b) + e.Link
		return err
	})
	return got, err
}

var three = []vendorstest.File{{Path: "a/b", Data: []byte("one")}, {Path: "c", Data: []byte("two and more")}, {Path: "link", Link: "../c"}}

func TestTar(t *testing.T) {
	got, err := entries(func(v unpack.Visit) error { return unpack.Tar(bytes.NewReader(vendorstest.Tar(t, three...)), v) })
	if diff := cmp.Diff(map[string]string{"a/b": "one", "c": "two and more", "link": "../c"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	special := func(h tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"out of the package":      {vendorstest.Tar(t, vendorstest.File{Path: "../etc/passwd"}), "leaves the package"},
		"out of it from within":   {vendorstest.Tar(t, vendorstest.File{Path: "a/../../etc/passwd"}), "leaves the package"},
		"twice":                   {vendorstest.Tar(t, three[0], three[0]), "stands twice"},
		"twice, by another name":  {vendorstest.Tar(t, three[0], vendorstest.File{Path: "./a//b"}), "stands twice"},
		"a device":                {special(tar.Header{Name: "dev/null", Typeflag: tar.TypeChar}), "is of type"},
		"a named pipe":            {special(tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}), "is of type"},
		"a file without a name":   {special(tar.Header{Name: ".", Typeflag: tar.TypeReg}), "has no name"},
		"cut off":                 {vendorstest.Tar(t, three...)[:514], "reading a/b"},
		"a name of 5,000 letters": {vendorstest.Tar(t, vendorstest.File{Path: strings.Repeat("x", 5000)}), "path of"},
	} {
		if _, err := entries(func(v unpack.Visit) error { return unpack.Tar(bytes.NewReader(c.b), v) }); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestCpio(t *testing.T) {
	walk := func(b []byte) (map[string]string, error) {
		return entries(func(v unpack.Visit) error { return unpack.Cpio(bytes.NewReader(b), v) })
	}
	good := vendorstest.Cpio(three...)
	got, err := walk(good)
	if diff := cmp.Diff(map[string]string{"a/b": "one", "c": "two and more", "link": "../c"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	device := bytes.Replace(good, []byte(fmt.Sprintf("%08x", 0o100644)), []byte(fmt.Sprintf("%08x", 0o020644)), 1)
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"out of the package": {vendorstest.Cpio(vendorstest.File{Path: "../x"}), "leaves the package"},
		"twice":              {vendorstest.Cpio(three[0], three[0]), "stands twice"},
		"a device":           {device, "is of mode"},
		"no end":             {good[:len(good)-124], "cut off"},
		"another form":       {append([]byte("070702"), good[6:]...), "not of the form newc"},
		"no numbers":         {append([]byte("070701zzzzzzzzyyyyyyyy"), good[22:]...), "no numbers"},
		"a size beyond it":   {bytes.Replace(good, []byte("00000003000000"), []byte("7fffffff000000"), 1), "at most"},
	} {
		if _, err := walk(c.b); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func FuzzArchives(f *testing.F) {
	f.Add(vendorstest.Tar(f, three...))
	f.Add(vendorstest.Cpio(three...))
	f.Add(vendorstest.Ar([]byte("debian-binary"), []byte("2.0\n")))
	for _, b := range compressed(f) {
		f.Add(b)
	}
	if b, err := hex.DecodeString(xzText); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		all, err := unpack.All(b, limit)
		if err == nil && len(all) > limit {
			t.Fatalf("%d bytes, at most %d are allowed", len(all), limit)
		}
		for _, walk := range []func(io.Reader, unpack.Visit) error{unpack.Tar, unpack.Cpio} {
			_ = walk(bytes.NewReader(b), func(e unpack.Entry, content io.Reader) error {
				if e.Path == "" || strings.HasPrefix(e.Path, "/") || strings.Contains("/"+e.Path+"/", "/../") {
					t.Fatalf("visits %q", e.Path)
				}
				n, err := io.Copy(io.Discard, io.LimitReader(content, limit))
				if err == nil && n > e.Size {
					t.Fatalf("%s of %d bytes has %d", e.Path, e.Size, n)
				}
				return nil
			})
		}
		members, _ := unpack.Ar(b, 8)
		if len(members) > 8 {
			t.Fatalf("%d members", len(members))
		}
	})
}
