package sandboxtest

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/internal/machinetest"
)

// GCC returns a builder image with the machine's C compiler and linker, and
// nothing of what they do not need to link a shared library.
func GCC(t testing.TB) string {
	t.Helper()
	machinetest.Tools(t, "gcc", "as", "ld")
	c := &copier{t: t, root: openTemp(t), seen: map[string]bool{}}
	AddPayload(t, c.root)
	for _, name := range []string{"gcc", "as", "ld"} {
		real, err := filepath.EvalSymlinks(ask(t, "which", name))
		if err != nil {
			t.Fatal(err)
		}
		c.add(real)
		c.link(real, "/usr/bin/"+name)
	}
	for _, name := range []string{"cc1", "collect2", "liblto_plugin.so"} {
		c.add(ask(t, "gcc", "-print-prog-name="+name))
	}
	for _, name := range []string{"crti.o", "crtn.o", "crtbeginS.o", "crtendS.o", "libgcc.a", "libgcc_s.so", "libgcc_s.so.1", "libc.so", "libc_nonshared.a", "liblto_plugin.so"} {
		c.add(ask(t, "gcc", "-print-file-name="+name))
	}
	c.add("/usr/include/stdc-predef.h") // every compilation reads it
	return c.root
}

func ask(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

// A copier copies files of the machine, each to its own place in a root.
type copier struct {
	t    testing.TB
	root string
	seen map[string]bool
}

// add copies a file, by the name it is asked for, and the libraries it needs.
// What the machine does not have is not missed.
func (c *copier) add(name string) {
	c.t.Helper()
	name = filepath.Clean(name)
	if c.seen[name] || !filepath.IsAbs(name) {
		return
	}
	c.seen[name] = true
	to := filepath.Join(c.root, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := copyFile(name, to, 0o755); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	c.libraries(name)
}

func (c *copier) libraries(name string) {
	c.t.Helper()
	f, err := elf.Open(name)
	if err != nil {
		return // a script, an archive
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				c.t.Fatal(err)
			}
			c.add(strings.TrimRight(string(b), "\x00"))
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return // an object
	}
	for _, n := range needed {
		c.add(c.find(n))
	}
}

func (c *copier) find(library string) string {
	c.t.Helper()
	dirs, err := filepath.Glob("/lib/*-linux-gnu")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, d := range append(dirs, "/lib64", "/lib", "/usr/lib") {
		if _, err := os.Stat(filepath.Join(d, library)); err == nil {
			return filepath.Join(d, library)
		}
	}
	c.t.Fatalf("%s is nowhere on this machine", library)
	return ""
}

func (c *copier) link(to, name string) {
	c.t.Helper()
	if to == name {
		return
	}
	if err := os.Symlink(to, filepath.Join(c.root, name)); err != nil {
		c.t.Fatal(err)
	}
}

const function = "int fN(int a, int b) { int s = N; for (int i = a; i < b; i++) { s = s * 31 + (i % 7 ? i ^ a : b - i); if (s > b) s -= a * N; } return s; }\n"

// Compile is the command that makes lib.so of it.
func Compile() []string {
	return []string{"gcc", "-O2", "-g", "-shared", "-fPIC", "-o", "lib.so", "lib.c"}
}

// Source writes a small C library, of n functions.
func Source(t testing.TB, dir string, n int) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(function, "N", strconv.Itoa(1000+i)))
	}
	if err := os.WriteFile(filepath.Join(dir, "lib.c"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
