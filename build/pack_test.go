package build

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// files returns every file below dir with its digest.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum := sha256.Sum256(mustRead(t, name))
		rel, err := filepath.Rel(dir, name)
		all[rel] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// linked is a tree with a link to a directory, a link to a file and a way
// through "..".
func linked(t *testing.T) (dir string, paths []string) {
	t.Helper()
	dir = sourceTree(t, map[string]string{"usr/lib/a/tool-1": "tool", "usr/lib/b/data": "data"})
	for link, target := range map[string]string{"lib": "usr/lib", "usr/lib/a/tool": "tool-1", "abs": filepath.Join(dir, "usr/lib/b/data")} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "usr/lib/a/tool-1"), 0o750); err != nil {
		t.Fatal(err)
	}
	return dir, []string{dir + "/lib/a/tool", dir + "/usr/lib/a/../b/data", dir + "/abs"}
}

func TestPackingTwiceIsBitIdentical(t *testing.T) {
	dir, paths := linked(t)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	if _, err := Pack(one, "amd64", paths); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir + "/usr/lib/a/tool-1", dir + "/usr/lib/b/data"} { // only times change
		b := mustRead(t, p)
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Pack(two, "amd64", []string{paths[2], paths[1], paths[0], paths[0]}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files(t, one), files(t, two)); diff != "" {
		t.Errorf("two packings (-one +two):\n%s", diff)
	}
}

// TestPackedEntriesSayNothingOfTheMachine looks at what could differ between
// two machines, or two moments, that hold the same files.
func TestPackedEntriesSayNothingOfTheMachine(t *testing.T) {
	_, paths := linked(t)
	l, err := Pack(filepath.Join(t.TempDir(), "image"), "amd64", paths)
	if err != nil {
		t.Fatal(err)
	}
	layer := tar.NewReader(bytes.NewReader(mustRead(t, blobPath(l, l.Layers[0].Digest))))
	last, n := "", 0
	for {
		h, err := layer.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || len(h.PAXRecords) > 0 {
			t.Errorf("%s: %+v", h.Name, h)
		}
		if h.Typeflag == tar.TypeReg && h.Mode != 0o644 && h.Mode != 0o755 {
			t.Errorf("%s: mode %o", h.Name, h.Mode)
		}
		if h.Name <= last {
			t.Errorf("%s comes after %s", h.Name, last)
		}
		last = h.Name
	}
	if n < 8 {
		t.Errorf("%d entries", n)
	}
}

func TestPackedTreeLeadsToTheSameFiles(t *testing.T) {
	_, paths := linked(t)
	l, err := Pack(filepath.Join(t.TempDir(), "image"), "amd64", paths)
	if err != nil {
		t.Fatal(err)
	}
	m, err := l.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.check(paths, digestFile); err != nil {
		t.Error(err)
	}
	var out *OutsideError
	if err := m.check([]string{paths[0], "/etc/passwd"}, digestFile); !errors.As(err, &out) || out.Path != "/etc/passwd" {
		t.Errorf("a file that was not packed: %v", err)
	}
}

func TestPackRefuses(t *testing.T) {
	dir, paths := linked(t)
	if _, err := Pack(dir, "amd64", paths); err == nil {
		t.Error("packed into a directory that holds something")
	}
	gone := filepath.Join(t.TempDir(), "image")
	if _, err := Pack(gone, "amd64", []string{dir + "/nothing"}); err == nil {
		t.Error("packed a file that is not there")
	}
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a packing that went wrong left a directory")
	}
}

func TestLayoutIsVerified(t *testing.T) {
	_, paths := linked(t)
	for name, damage := range map[string]func(t *testing.T, l *Layout){
		"layer":    func(t *testing.T, l *Layout) { flip(t, l, l.Layers[0].Digest) },
		"manifest": func(t *testing.T, l *Layout) { flip(t, l, digest.Digest(l.Digest)) },
		"longer": func(t *testing.T, l *Layout) {
			p := blobPath(l, l.Layers[0].Digest)
			if err := os.WriteFile(p, append(mustRead(t, p), 0), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"two manifests": func(t *testing.T, l *Layout) {
			p := filepath.Join(l.Dir, "index.json")
			b := bytes.Replace(mustRead(t, p), []byte(`"manifests":[{`), []byte(`"manifests":[{"mediaType":"x","digest":"sha256:00","size":1},{`), 1)
			if err := os.WriteFile(p, b, 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Pack(filepath.Join(t.TempDir(), "image"), "amd64", paths)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, l)
			l, err = OpenLayout(l.Dir)
			if err == nil {
				_, err = l.read()
			}
			if err == nil {
				t.Error("a damaged builder image reads")
			}
		})
	}
}

func blobPath(l *Layout, d digest.Digest) string {
	return filepath.Join(l.Dir, "blobs", "sha256", d.Encoded())
}

func flip(t *testing.T, l *Layout, d digest.Digest) {
	t.Helper()
	b := mustRead(t, blobPath(l, d))
	b[len(b)/2] ^= 1
	if err := os.WriteFile(blobPath(l, d), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLayersOnLayers(t *testing.T) {
	m := image{}
	add := func(h *tar.Header, content string) {
		t.Helper()
		if err := m.add(h, bytes.NewReader([]byte(content))); err != nil {
			t.Fatal(err)
		}
	}
	add(&tar.Header{Name: "a/b/one", Typeflag: tar.TypeReg}, "1")
	add(&tar.Header{Name: "./a/b/two", Typeflag: tar.TypeReg}, "2")
	add(&tar.Header{Name: "a/hard", Typeflag: tar.TypeLink, Linkname: "a/b/one"}, "")
	add(&tar.Header{Name: "c/old", Typeflag: tar.TypeReg}, "3")
	add(&tar.Header{Name: "a/b/.wh.two", Typeflag: tar.TypeReg}, "")
	add(&tar.Header{Name: "c/.wh..wh..opq", Typeflag: tar.TypeReg}, "")
	add(&tar.Header{Name: "../../etc/x", Typeflag: tar.TypeReg}, "4")
	var names []string
	for _, name := range []string{"/a", "/a/b/one", "/a/b/two", "/a/hard", "/c", "/c/old", "/etc/x"} {
		if _, err := m.lookup(name); err == nil {
			names = append(names, name)
		}
	}
	if diff := cmp.Diff([]string{"/a", "/a/b/one", "/a/hard", "/c", "/etc/x"}, names); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if m["/a/hard"].content != m["/a/b/one"].content {
		t.Error("a hard link has other content than its target")
	}
	if err := m.add(&tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "none"}, nil); err == nil {
		t.Error("a hard link to nothing was taken")
	}
}

func TestUnknownLayerType(t *testing.T) {
	if _, err := unpack(bytes.NewReader(nil), ocispec.MediaTypeImageLayerZstd); err == nil {
		t.Error("a layer type nobody reads was taken")
	}
}

func TestWalkFollowsLikeTheKernel(t *testing.T) {
	dir, paths := linked(t)
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(paths, dir+"/lib/../lib/b/./data") {
		want, err := filepath.EvalSymlinks(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := resolve(p); err != nil || got != want {
			t.Errorf("%s leads to %s, %v; want %s", p, got, err, want)
		}
	}
	for _, p := range []string{dir + "/loop", dir + "/abs/..", dir + "/abs/x", dir + "/none/.."} {
		if got, _, err := resolve(p); err == nil {
			t.Errorf("%s leads to %s", p, got)
		}
	}
}
