package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/internal/machinetest"
)

// tree writes files, by name; a text that begins with "->" is a link, one that
// begins with "#!" may be run.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			mode := fs.FileMode(0o644)
			if strings.HasPrefix(text, "#!") {
				mode = 0o700
			}
			err = os.WriteFile(path, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listing is what is below dir, as tree takes it.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			all[name] = "->" + target
			return err
		}
		b, err := os.ReadFile(path)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustPack(t *testing.T, from Origin) *Tree {
	t.Helper()
	s, err := Pack(t.Context(), from, filepath.Join(t.TempDir(), "source.tar"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var example = map[string]string{
	"Makefile":     "all:\n",
	"src/a.c":      "int a;\n",
	"src/a/b.c":    "int b;\n",
	"src/link.c":   "->a.c",
	"configure":    "#!/bin/sh\n",
	"dangling":     "->/nowhere",
	"src/../empty": "",
}

func TestTheSameTreeIsTheSameArchive(t *testing.T) {
	first := tree(t, example)
	second := tree(t, example)
	if err := os.MkdirAll(filepath.Join(second, ".git", "objects"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, ".git", "HEAD"), []byte("ref"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(second, "Makefile"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	a, b := mustPack(t, Origin{Path: first}), mustPack(t, Origin{Path: second})
	if a.Digest != b.Digest || a.Size != b.Size || a.Files != b.Files {
		t.Errorf("archives %+v and %+v of one tree, the second with history, times and another place", a, b)
	}
	if err := os.Chmod(filepath.Join(second, "configure"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := mustPack(t, Origin{Path: second}); c.Digest == a.Digest {
		t.Error("whether a file may be run is not in the archive")
	}
}

func TestArchiveBecomesTheTree(t *testing.T) {
	dir := tree(t, example)
	s := mustPack(t, Origin{Path: dir})
	f, err := os.Open(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at, back := time.Unix(1700000000, 0), t.TempDir()
	if err := Unpack(t.Context(), f, back, at); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(listing(t, dir), listing(t, back)); diff != "" {
		t.Errorf("tree (-packed +unpacked):\n%s", diff)
	}
	for _, name := range []string{"Makefile", "src", "src/a.c"} {
		info, err := os.Stat(filepath.Join(back, name))
		if err != nil || !info.ModTime().Equal(at) {
			t.Errorf("%s: time %v, error %v, want %v", name, info.ModTime(), err, at)
		}
	}
	if again := mustPack(t, Origin{Path: back}); again.Digest != s.Digest {
		t.Error("a tree packed, unpacked and packed is another archive")
	}
}

func TestTarsOfOthers(t *testing.T) {
	dir := tree(t, example)
	want := mustPack(t, Origin{Path: dir})
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"plain": plain.Bytes(), "gzip": zipped.Bytes()} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := mustPack(t, Origin{Path: path}); got.Digest != want.Digest {
			t.Errorf("a %s tar of the tree is another archive than its directory", name)
		}
	}
}

// entry is one entry of a hostile tar.
type entry struct {
	typ        byte
	name, link string
	text       string
}

func hostile(t *testing.T, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.typ, Name: e.name, Linkname: e.link, Mode: 0o6755, Size: int64(len(e.text))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAttackHostileTars(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"absolute path", []entry{{tar.TypeReg, "/etc/passwd", "", "x"}}, "leads out"},
		{"dot dot", []entry{{tar.TypeReg, "../x", "", "x"}}, "leads out"},
		{"dot dot inside", []entry{{tar.TypeReg, "a/../../x", "", "x"}}, "leads out"},
		{"through an absolute link", []entry{{tar.TypeSymlink, "a", "/tmp", ""}, {tar.TypeReg, "a/x", "", "x"}}, "no directory"},
		{"through a link inside", []entry{{tar.TypeDir, "b", "", ""}, {tar.TypeSymlink, "a", "b", ""}, {tar.TypeReg, "a/x", "", "x"}}, "no directory"},
		{"onto a link", []entry{{tar.TypeSymlink, "a", "/tmp/x", ""}, {tar.TypeReg, "a", "", "x"}}, "twice"},
		{"a file twice", []entry{{tar.TypeReg, "a", "", "x"}, {tar.TypeReg, "a", "", "y"}}, "twice"},
		{"a directory over a file", []entry{{tar.TypeReg, "a", "", "x"}, {tar.TypeDir, "a", "", ""}}, "no directory"},
		{"hard link out", []entry{{tar.TypeLink, "a", "/etc/passwd", ""}}, "no file before it"},
		{"hard link by dot dot", []entry{{tar.TypeLink, "a", "../x", ""}}, "no file before it"},
		{"hard link to a link", []entry{{tar.TypeSymlink, "l", "/etc/passwd", ""}, {tar.TypeLink, "a", "l", ""}}, "no file before it"},
		{"directories without end", []entry{{tar.TypeReg, strings.Repeat("a/", 20_000) + "x", "", "x"}}, "at most 4095"},
		{"device", []entry{{tar.TypeChar, "null", "", ""}}, "no source"},
		{"pipe", []entry{{tar.TypeFifo, "pipe", "", ""}}, "no source"},
		{"nothing in it", []entry{{tar.TypeDir, "a", "", ""}}, "holds no file"},
		{"no tar", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			path := filepath.Join(parent, "hostile.tar")
			b := hostile(t, tt.entries)
			if tt.entries == nil {
				b, tt.want = bytes.Repeat([]byte("no tar "), 200), "not a readable tar"
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			scratch := filepath.Join(parent, "scratch")
			if err := os.Mkdir(scratch, 0o755); err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(parent, "source.tar")
			_, err := Pack(t.Context(), Origin{Path: path}, to, scratch)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			left := listing(t, parent)
			delete(left, "hostile.tar")
			if len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRightsOfStrangersAreDropped(t *testing.T) {
	dir := t.TempDir()
	if err := Unpack(t.Context(), bytes.NewReader(hostile(t, []entry{{tar.TypeReg, "a", "", "#!/bin/sh\n"}})), dir, epoch); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o755 {
		t.Errorf("mode %v, want 0755 without setuid", info.Mode())
	}
}

func TestGitBundle(t *testing.T) {
	machinetest.Tools(t, "git")
	dir := tree(t, map[string]string{
		"a.c": "int a;\n", "secret.c": "$Format:%H$\n", ".gitattributes": "secret.c export-ignore export-subst\n*.c text eol=crlf\n",
	})
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	id := git("rev-parse", "HEAD")
	if err := os.WriteFile(filepath.Join(dir, "a.c"), []byte("int two;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	git("commit", "-q", "-a", "-m", "two")
	file := filepath.Join(t.TempDir(), "it.bundle")
	git("bundle", "create", "-q", file, "HEAD", "main")

	got := mustPack(t, Origin{Path: file, Revision: id})
	if got.Commit != id {
		t.Errorf("commit %q, want %q", got.Commit, id)
	}
	f, err := os.Open(got.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	back := t.TempDir()
	if err := Unpack(t.Context(), f, back, epoch); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a.c": "int a;\n", "secret.c": "$Format:%H$\n", ".gitattributes": "secret.c export-ignore export-subst\n*.c text eol=crlf\n"}
	if diff := cmp.Diff(want, listing(t, back)); diff != "" {
		t.Errorf("the commit's tree (-want +got):\n%s", diff)
	}
	if newest := mustPack(t, Origin{Path: file}); newest.Commit == id || newest.Digest == got.Digest {
		t.Error("without a revision it is not the bundle's HEAD")
	}
	for revision, want := range map[string]string{"nothing": "has no commit", "--all": "no revision"} {
		if _, err := Pack(t.Context(), Origin{Path: file, Revision: revision}, filepath.Join(t.TempDir(), "x"), t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("revision %q: %v, want %q", revision, err, want)
		}
	}
}

// Whatever a tar says, unpacking ends, and writes nowhere else.
func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a/b", Size: 1})
	_, _ = w.Write([]byte("x"))
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "c", Linkname: "/"})
	_ = w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "in", "it")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = Unpack(t.Context(), bytes.NewReader(b), dir, epoch)
		for _, d := range []string{parent, filepath.Join(parent, "in")} {
			if list, err := os.ReadDir(d); err != nil || len(list) != 1 {
				t.Fatalf("%s holds %v, error %v", d, list, err)
			}
		}
	})
}
