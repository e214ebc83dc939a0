package builder

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An item is an entry of a tar.
type item struct {
	name, content, link string
	kind                byte // 0 is a file, or a directory where the name ends so
	mode                int64
	time                int64
	pax                 map[string]string
}

func archive(t testing.TB, items ...item) []byte {
	t.Helper()
	b, err := pack(items)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(items []item) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := &tar.Header{Name: i.name, Linkname: i.link, Typeflag: i.kind, Mode: i.mode, ModTime: time.Unix(i.time, 0), Uid: 1000, Gid: 8, Uname: "somebody", Gname: "mail", PAXRecords: i.pax}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(i.name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(i.content))
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, i.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// read reads tars into a tree, the first at the bottom.
func read(t testing.TB, tars ...[]byte) (tree, error) {
	t.Helper()
	all := tree{}
	for _, b := range tars {
		r := bytes.NewReader(b)
		if err := all.readTar(t.Context(), r, r); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// listed says what a written layer holds: per entry its name, type, mode, time
// and content.
func listed(t testing.TB, layer []byte) []string {
	t.Helper()
	var list []string
	r := tar.NewReader(bytes.NewReader(layer))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || len(h.PAXRecords) > 0 {
			t.Errorf("%s says whose it is: %+v", h.Name, h)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.TrimSpace(strings.Join([]string{h.Name, fs.FileMode(h.Mode).Perm().String(), h.ModTime.UTC().Format("060102"), h.Linkname, string(b)}, " ")))
	}
}

func written(t testing.TB, all tree, epoch int64) []byte {
	t.Helper()
	all.tidy(time.Unix(epoch, 0))
	var b bytes.Buffer
	if err := all.writeLayer(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	day   = 86400
	epoch = 20 * day
)

// rootfs is a root file system as an installer might leave it.
func rootfs() []item {
	return []item{
		{name: "./", mode: 0o755},
		{name: "./usr/bin/", mode: 0o755, time: 30 * day},
		{name: "./usr/bin/tool", content: "tool", mode: 0o4755, time: 3 * day},
		{name: "./usr/bin/a-tool", kind: tar.TypeLink, link: "./usr/bin/tool"},
		{name: "./bin", kind: tar.TypeSymlink, link: "usr/bin", time: 2 * day},
		{name: "./etc/hostname", content: "this machine"},
		{name: "./etc/resolv.conf", content: "nameserver"},
		{name: "./etc/machine-id", content: "uninitialized\n"},
		{name: "./etc/passwd", content: "root", mode: 0o600, time: 25 * day, pax: map[string]string{"SCHILY.xattr.user.x": "y"}},
		{name: "./etc/passwd-", content: "root"},
		{name: "./etc/apt/sources.list", content: "deb here"},
		{name: "./dev/null", kind: tar.TypeChar},
		{name: "./dev/pts/", mode: 0o755},
		{name: "./var/log/dpkg.log", content: "at noon"},
		{name: "./tmp/", mode: 0o1777},
		{name: "./tmp/left", content: "over"},
		{name: "./var/lib/pipe", kind: tar.TypeFifo},
	}
}

func TestLayerIsTidy(t *testing.T) {
	all, err := read(t, archive(t, rootfs()...))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin -rwxrwxrwx 700121 usr/bin",
		"dev/ -rwxr-xr-x 700121",
		"etc/ -rwxr-xr-x 700121",
		"etc/apt/ -rwxr-xr-x 700121",
		"etc/machine-id -r--r--r-- 700121",
		"etc/passwd -rw------- 700121  root",
		"tmp/ -rwxrwxrwx 700121",
		"usr/ -rwxr-xr-x 700121",
		"usr/bin/ -rwxr-xr-x 700121",
		"usr/bin/a-tool -rwxr-xr-x 700104  tool",
		"usr/bin/tool -rwxr-xr-x 700104 usr/bin/a-tool",
		"var/ -rwxr-xr-x 700121",
		"var/log/ -rwxr-xr-x 700121",
	}
	if diff := cmp.Diff(want, listed(t, written(t, all, epoch))); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

// TestLayerIsTheSame reads the same files in another order, by other owners, made
// at another time after the epoch, as a tar, a gzipped tar and a directory.
func TestLayerIsTheSame(t *testing.T) {
	items := []item{
		{name: "a/", mode: 0o755, time: 22 * day}, {name: "a/one", content: "1", time: 5 * day}, {name: "a/two", kind: tar.TypeLink, link: "a/one"},
		{name: "b", content: "b", mode: 0o755, time: 21 * day}, {name: "c", kind: tar.TypeSymlink, link: "b", time: 23 * day},
	}
	first, err := read(t, archive(t, items...))
	if err != nil {
		t.Fatal(err)
	}
	want := written(t, first, epoch)

	other := slices.Clone(items)
	other[3], other[4] = other[4], other[3]
	other[0].time, other[4].time = 40*day, 41*day
	second, err := read(t, archive(t, other...))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, written(t, second, epoch)) {
		t.Errorf("in another order: %v, want %v", listed(t, written(t, second, epoch)), listed(t, want))
	}

	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(dir+"/a", 0o755), os.WriteFile(dir+"/a/one", []byte("1"), 0o644), os.Link(dir+"/a/one", dir+"/a/two"),
		os.WriteFile(dir+"/b", []byte("b"), 0o755), os.Symlink("b", dir+"/c"),
		os.Chtimes(dir+"/a/one", time.Time{}, time.Unix(5*day, 5)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	zipped := filepath.Join(t.TempDir(), "rootfs.tar.gz")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(archive(t, other...)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), os.WriteFile(zipped, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, zipped} {
		s := &source{tree: tree{}, temp: t.TempDir()}
		if err := s.readRootfs(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if got := written(t, s.tree, epoch); !bytes.Equal(want, got) {
			t.Errorf("of %s: %v, want %v", path, listed(t, got), listed(t, want))
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLayersOnLayers(t *testing.T) {
	all, err := read(t,
		archive(t, item{name: "a/one", content: "1"}, item{name: "a/two", content: "2"}, item{name: "b/old", content: "3"}, item{name: "c/deep/er", content: "4"}, item{name: "d/x", content: "5"}),
		archive(t, item{name: "a/.wh.two"}, item{name: "b/new", content: "6"}, item{name: "b/.wh..wh..opq"}, item{name: ".wh.c"}, item{name: "d", content: "a file now"}, item{name: "a/.wh.none"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"/a", "/a/one", "/b", "/b/new", "/d"}, names); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestHostileTars(t *testing.T) {
	for _, tt := range []struct {
		words string
		items []item
	}{
		{"a name that leaves the root", []item{{name: "../etc/passwd", content: "x"}}},
		{"a name that leaves the root", []item{{name: "a/../../b", content: "x"}}},
		{"a name that leaves the root", []item{{name: "a", kind: tar.TypeLink, link: "../../etc/passwd"}}},
		{"below /a, which is no directory", []item{{name: "a", kind: tar.TypeSymlink, link: "/etc"}, {name: "a/passwd", content: "x"}}},
		{"no file there", []item{{name: "a", kind: tar.TypeLink, link: "/etc/passwd"}}},
		{"no file there", []item{{name: "d/", mode: 0o755}, {name: "a", kind: tar.TypeLink, link: "d"}}},
		{"of type", []item{{name: "a", kind: 'Z'}}},
		{"exceeds the limit", []item{{name: strings.Repeat("a/", maxName), mode: 0o755}}},
	} {
		if _, err := read(t, archive(t, tt.items...)); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%+.80v: %v, want %s", tt.items, err, tt.words)
		}
	}
	whole := archive(t, item{name: "a", content: strings.Repeat("x", 5000)})
	if _, err := read(t, whole[:3000]); err == nil {
		t.Error("a tar that is cut off reads")
	}
	absolute, err := read(t, archive(t, item{name: "/etc//x", content: "1"}))
	if err != nil || absolute["/etc/x"] == nil {
		t.Errorf("an absolute name: %v", err)
	}
}

// TestSparse refuses both ways in which a tar says that a file has holes: its
// content would be read from the wrong place.
func TestSparse(t *testing.T) {
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeGNUSparse}, {Typeflag: tar.TypeReg, PAXRecords: map[string]string{"GNU.sparse.major": "1"}},
	} {
		h.Name = "a"
		l := layering{tree: tree{}, own: tree{}}
		if err := l.entry(h, nil, 0); err == nil {
			t.Errorf("%+v was taken", h)
		}
	}
}

func TestTakingAwayEverythingEnds(t *testing.T) {
	var opaque, replaced []item
	for i := range maxHidings + 1 {
		opaque = append(opaque, item{name: strings.Repeat("x", 1+i%7) + "/.wh..wh..opq"})
		replaced = append(replaced, item{name: "a/", mode: 0o755}, item{name: "a"})
	}
	for _, items := range [][]item{opaque, replaced} {
		if _, err := read(t, archive(t, items...)); err == nil || !strings.Contains(err.Error(), "more than the") {
			t.Errorf("%v", err)
		}
	}
}

// Whatever the bytes: an error, or a tree that writes as a layer that reads as the
// same tree.
func FuzzReadTar(f *testing.F) {
	f.Add(archive(f, rootfs()...))
	f.Add(archive(f, item{name: "a/b", content: "1"}, item{name: "a/.wh.b"}, item{name: "../x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := read(t, b)
		if err != nil || len(all) == 0 {
			return
		}
		var one, two bytes.Buffer
		all.tidy(time.Unix(epoch, 0))
		if all.writeLayer(&one) != nil {
			return // a name that no tar has
		}
		again, err := read(t, one.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		again.tidy(time.Unix(epoch, 0))
		if err := again.writeLayer(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("reads as another tree: %v\n%v\n%v", err, listed(t, one.Bytes()), listed(t, two.Bytes()))
		}
	})
}
