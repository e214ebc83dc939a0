package rootfs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
)

// A store is what images are fetched from: blobs by digest.
type store struct {
	blobs   map[digest.Digest][]byte
	fetched []string
}

func (s *store) Fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	b, ok := s.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("no %s", d.Digest)
	}
	s.fetched = append(s.fetched, d.MediaType)
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (s *store) put(mediaType string, b []byte) ocispec.Descriptor {
	if s.blobs == nil {
		s.blobs = map[digest.Digest][]byte{}
	}
	d := digest.Digest(attest.DigestOf(b))
	s.blobs[d] = b
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

func (s *store) putJSON(t testing.TB, mediaType string, v any) ocispec.Descriptor {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return s.put(mediaType, b)
}

// image puts an image of plain layers.
func (s *store) image(t testing.TB, layers ...[]byte) ocispec.Descriptor {
	t.Helper()
	var m ocispec.Manifest
	var diffs []digest.Digest
	for _, l := range layers {
		m.Layers = append(m.Layers, s.put(ocispec.MediaTypeImageLayer, l))
		diffs = append(diffs, digest.Digest(attest.DigestOf(l)))
	}
	return s.manifest(t, m, diffs)
}

func (s *store) manifest(t testing.TB, m ocispec.Manifest, diffs []digest.Digest) ocispec.Descriptor {
	t.Helper()
	m.SchemaVersion = 2
	m.Config = s.putJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffs},
	})
	return s.putJSON(t, ocispec.MediaTypeImageManifest, m)
}

func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }
func reg(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
func sym(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// layer returns a tar. A regular file without a size holds its own name.
func layer(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := ""
		if h.Typeflag == tar.TypeReg && h.Size == 0 {
			content = h.Name
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil && !strings.Contains(err.Error(), "missed writing") {
		t.Fatal(err)
	}
	_ = w.Close()
	return b.Bytes()
}

func openCache(t testing.TB, o *Options) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "cache"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = removeTree(c.dir) }) // directories that cannot be written
	return c
}

// list tells a tree, a line an entry.
func list(t testing.TB, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		switch {
		case e.Type() == fs.ModeSymlink:
			to, err := os.Readlink(name)
			fmt.Fprintf(&b, "%s -> %s\n", rel, to)
			return err
		case e.IsDir():
			fmt.Fprintf(&b, "%s/ %o\n", rel, info.Mode().Perm())
			return nil
		}
		content, err := os.ReadFile(name)
		fmt.Fprintf(&b, "%s %o %s\n", rel, info.Mode(), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func unpack(t testing.TB, c *Cache, from Fetcher, d ocispec.Descriptor) *Root {
	t.Helper()
	r, err := c.Unpack(t.Context(), from, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestTrees(t *testing.T) {
	lower := func(entries ...tar.Header) []tar.Header { return entries }
	for name, c := range map[string]struct {
		layers [][]tar.Header
		want   string
	}{
		"plain": {[][]tar.Header{lower(dir("./"), dir("./a/"), reg("./a/f"), sym("l", "a/f"), sym("abs", "/a/f"), link("h", "a/f"))},
			"a/ 755\na/f 644 ./a/f\nabs -> /a/f\nh 644 ./a/f\nl -> a/f\n"},
		"implied directories": {[][]tar.Header{lower(reg("a/b/f"))}, "a/ 755\na/b/ 755\na/b/f 644 a/b/f\n"},
		"modes": {[][]tar.Header{lower(
			tar.Header{Typeflag: tar.TypeDir, Name: "d", Mode: 0o1555}, tar.Header{Typeflag: tar.TypeReg, Name: "d/s", Mode: 0o6755}, tar.Header{Typeflag: tar.TypeReg, Name: "none"})},
			"d/ 555\nd/s 755 d/s\nnone 400 none\n"},
		"devices below dev": {[][]tar.Header{lower(dir("dev"), tar.Header{Typeflag: tar.TypeChar, Name: "dev/null"}, tar.Header{Typeflag: tar.TypeFifo, Name: "dev/p"})}, "dev/ 755\n"},
		"whiteout":          {[][]tar.Header{lower(reg("a/f"), reg("a/g")), lower(reg("a/.wh.f"), reg(".wh.none"), reg("none/.wh.none"))}, "a/ 755\na/g 644 a/g\n"},
		"of a directory":    {[][]tar.Header{lower(reg("a/b/c/f"), reg("g")), lower(reg(".wh.a"))}, "g 644 g\n"},
		"opaque":            {[][]tar.Header{lower(reg("a/f"), reg("a/b/g")), lower(dir("a"), reg("a/.wh..wh..opq"), reg("a/n"))}, "a/ 755\na/n 644 a/n\n"},
		"opaque comes late": {[][]tar.Header{lower(reg("a/f"), reg("a/b/g")), lower(reg("a/n"), reg("a/b/m"), reg("a/.wh..wh..opq"))}, "a/ 755\na/b/ 755\na/b/m 644 a/b/m\na/n 644 a/n\n"},
		"opaque root":       {[][]tar.Header{lower(reg("a/f")), lower(reg(".wh..wh..opq"), reg("b"))}, "b 644 b\n"},
		"hidden and new":    {[][]tar.Header{lower(reg("a/f")), lower(reg("a/f"), reg(".wh.a"), reg("a/.wh.f"))}, "a/ 755\na/f 644 a/f\n"},
		"below a link":      {[][]tar.Header{lower(reg("a/f"), sym("l", "a")), lower(reg("l/.wh.f"))}, "a/ 755\na/f 644 a/f\nl -> a\n"},
		"of a link":         {[][]tar.Header{lower(reg("a/f"), sym("l", "a")), lower(reg(".wh.l"))}, "a/ 755\na/f 644 a/f\n"},
		"file over a dir":   {[][]tar.Header{lower(reg("a/b/f")), lower(reg("a"))}, "a 644 a\n"},
		"dir over a link":   {[][]tar.Header{lower(reg("a/f"), sym("l", "a")), lower(dir("l"), reg("l/g"))}, "a/ 755\na/f 644 a/f\nl/ 755\nl/g 644 l/g\n"},
		"one name of two":   {[][]tar.Header{lower(reg("a"), link("b", "a")), lower(tar.Header{Typeflag: tar.TypeReg, Name: "b", Mode: 0o755})}, "a 644 a\nb 755 b\n"},
		"names of AUFS":     {[][]tar.Header{lower(reg(".wh..wh.plnk"), dir(".wh..wh.orph"), reg("f"))}, "f 644 f\n"},
		"an old time":       {[][]tar.Header{lower(tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, ModTime: time.Unix(-1e9, 0), Format: tar.FormatPAX})}, "f 644 f\n"},
		"xattrs": {[][]tar.Header{lower(tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, PAXRecords: map[string]string{
			"SCHILY.xattr.user.a": "b", "SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}})}, "f 644 f\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &store{}
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, layer(t, l...))
			}
			r := unpack(t, openCache(t, nil), s, s.image(t, layers...))
			if diff := cmp.Diff(c.want, list(t, r.Dir)); diff != "" {
				t.Error(diff)
			}
			if attributes := xattrs(t, r.Dir); len(attributes) > 0 {
				t.Errorf("extended attributes %q", attributes)
			}
		})
	}
}

// Entries that could reach out, or be more than they look, are refused by name,
// and nothing of their image is left.
func TestHostileEntries(t *testing.T) {
	long := strings.Repeat("d/", 2048)
	for name, c := range map[string]struct {
		entries []tar.Header
		want    string
	}{
		"absolute":             {[]tar.Header{reg("/etc/passwd")}, "absolute"},
		"dot dot":              {[]tar.Header{reg("a/../../f")}, `".."`},
		"dot dot directory":    {[]tar.Header{dir("../d")}, `".."`},
		"only dot dot":         {[]tar.Header{dir("..")}, `".."`},
		"long name":            {[]tar.Header{reg(long + "f")}, "too long"},
		"long part":            {[]tar.Header{reg(strings.Repeat("x", 256))}, "too long"},
		"link out":             {[]tar.Header{sym("l", "../f")}, "leads out"},
		"link far out":         {[]tar.Header{sym("a/b/l", "x/../../../../f")}, "leads out"},
		"absolute link out":    {[]tar.Header{sym("l", "/a/../../f")}, "leads out"},
		"link to nothing":      {[]tar.Header{sym("l", "")}, "no path"},
		"through a link":       {[]tar.Header{dir("a"), sym("l", "a"), reg("l/f")}, "no directory"},
		"through a link out":   {[]tar.Header{sym("l", "/tmp"), reg("l/f")}, "no directory"},
		"directory in a link":  {[]tar.Header{sym("l", "/tmp"), dir("l/d")}, "no directory"},
		"dir over this link":   {[]tar.Header{sym("l", "/tmp"), dir("l"), reg("l/f")}, "twice"},
		"through a file":       {[]tar.Header{reg("a"), reg("a/f")}, "no directory"},
		"hard link out":        {[]tar.Header{link("h", "../../etc/passwd")}, "leads out"},
		"hard link absolute":   {[]tar.Header{link("h", "/etc/passwd")}, "leads out"},
		"hard link to nothing": {[]tar.Header{link("h", "f")}, "no file that is there"},
		"hard link to a link":  {[]tar.Header{sym("l", "/etc/passwd"), link("h", "l")}, "no file that is there"},
		"hard link by a link":  {[]tar.Header{sym("l", "/etc"), link("h", "l/passwd")}, "not there"},
		"hard link to a dir":   {[]tar.Header{dir("d"), link("h", "d")}, "no file that is there"},
		"hard link to itself":  {[]tar.Header{reg("h"), link("h", "h")}, "itself"},
		"device":               {[]tar.Header{{Typeflag: tar.TypeBlock, Name: "disk", Devmajor: 254}}, "device"},
		"overlay's whiteout":   {[]tar.Header{{Typeflag: tar.TypeChar, Name: "a"}}, "device"},
		"pipe":                 {[]tar.Header{{Typeflag: tar.TypeFifo, Name: "etc/p"}}, "pipe"},
		"not below dev":        {[]tar.Header{{Typeflag: tar.TypeChar, Name: "device/null"}}, "device"},
		"whiteout of dot dot":  {[]tar.Header{reg("a/.wh...")}, "no"},
		"whiteout of dot":      {[]tar.Header{reg(".wh..")}, "nothing"},
		"whiteout of nothing":  {[]tar.Header{reg(".wh.")}, "nothing"},
		"whiteout outside":     {[]tar.Header{reg("../.wh.f")}, `".."`},
		"twice":                {[]tar.Header{reg("f"), reg("f")}, "twice"},
		"twice, spelled":       {[]tar.Header{reg("a/f"), reg("./a//f")}, "twice"},
		"file and directory":   {[]tar.Header{reg("a/f"), reg("a")}, "twice"},
		"root as a file":       {[]tar.Header{reg("./.")}, "root"},
		"root as a link":       {[]tar.Header{sym(".", "/tmp")}, "root"},
		"unknown type":         {[]tar.Header{{Typeflag: 'Z', Name: "f"}}, "type"},
	} {
		t.Run(name, func(t *testing.T) {
			s, cache := &store{}, openCache(t, nil)
			_, err := cache.Unpack(t.Context(), s, s.image(t, layer(t, c.entries...)))
			var refused *EntryError
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.want) {
				t.Errorf("%v; want an entry refused with %q", err, c.want)
			}
			nothingLeft(t, cache)
		})
	}
}

// nothingLeft fails if the cache holds anything but locks, or anything is beside it.
func nothingLeft(t testing.TB, c *Cache) {
	t.Helper()
	for _, d := range []string{rootsDir, newDir} {
		if got := list(t, filepath.Join(c.dir, d)); got != "" {
			t.Errorf("left in %s:\n%s", d, got)
		}
	}
	beside, err := os.ReadDir(filepath.Dir(c.dir))
	if err != nil || len(beside) != 1 {
		t.Errorf("beside the cache: %v, %v", beside, err)
	}
}

// Bombs go off outside: by what they declare, or at the limit.
func TestBombs(t *testing.T) {
	limits := Limits{Bytes: 1 << 20, Entries: 100, Layers: 2}
	many := make([]tar.Header, 101)
	for i := range many {
		many[i] = dir(fmt.Sprint(i))
	}
	zeros := make([]byte, 64<<20)
	for name, c := range map[string]struct {
		layers    [][]byte
		mediaType string
		want      string
	}{
		"declared":    {[][]byte{layer(t, tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: 1 << 40})}, "", "larger"},
		"entries":     {[][]byte{layer(t, many...)}, "", "more than 100 entries"},
		"layers":      {[][]byte{layer(t, reg("1")), layer(t, reg("2")), layer(t, reg("3"))}, "", "3 layers"},
		"gzip":        {[][]byte{zipped(t, append(layer(t, reg("f")), zeros...))}, ocispec.MediaTypeImageLayerGzip, "larger"},
		"zstd":        {[][]byte{zstded(t, append(layer(t, reg("f")), zeros...))}, ocispec.MediaTypeImageLayerZstd, "larger"},
		"zstd window": {[][]byte{zstdWindow()}, ocispec.MediaTypeImageLayerZstd, "window"},
		"sparse":      {[][]byte{sparseTar(t)}, "", "sparse"},
	} {
		t.Run(name, func(t *testing.T) {
			s, cache := &store{}, openCache(t, &Options{Limits: limits})
			d := s.image(t, c.layers...)
			if c.mediaType != "" {
				d = s.manifest(t, ocispec.Manifest{Layers: []ocispec.Descriptor{s.put(c.mediaType, c.layers[0])}}, []digest.Digest{digest.FromString("x")})
			}
			began := time.Now()
			if _, err := cache.Unpack(t.Context(), s, d); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			nothingLeft(t, cache)
		})
	}
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// zstdWindow is a frame that asks for a window of 2 GiB (RFC 8878, 3.1.1.1.2).
func zstdWindow() []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0}
}

// sparseTar is a file of 1 TiB with nothing in it, as GNU tar writes one.
func sparseTar(t testing.TB) []byte {
	t.Helper()
	b := layer(t, tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, Size: 1 << 9, Format: tar.FormatGNU})[:512]
	b[156] = tar.TypeGNUSparse
	copy(b[124:], "00000000000\x00")                                  // nothing is stored
	copy(b[386:], "00000000000\x0000000000000\x00")                   // of a hole
	copy(b[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00") // 1 TiB
	sum := 0
	copy(b[148:156], "        ")
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(b, make([]byte, 1024)...)
}
