// Package sandboxtest is the test that every runner of build/sandbox passes:
// what a job gets, every way out of the sandbox we know, by name, and limits.
//
// The images need no download: the test's own program is the one program in
// them, and does inside what its argument says (payload.go). The test of a
// runner has Main for its TestMain.
package sandboxtest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/internal/machinetest"
)

// What the payload is called in images, and a link to it.
const (
	program = "payload"
	link    = "link"
)

// Main runs the tests, or what a sandbox or an image starts this program for.
func Main(m *testing.M) int {
	if code, ours := sandbox.Main(); ours {
		return code
	}
	if name := filepath.Base(os.Args[0]); name == program || name == link {
		return payload(os.Args[1:])
	}
	return m.Run()
}

const nobody = 65534

// AsRoot runs a test where it is root.
func AsRoot(t *testing.T, test func(t *testing.T)) {
	if os.Getuid() != 0 {
		machinetest.LeaveOut(t, "this is not root", "run the tests as root: they drop to nobody for the others")
	}
	test(t)
}

// AsUser runs a test as a user without rights: root starts this very test
// again, as nobody.
func AsUser(t *testing.T, test func(t *testing.T)) {
	if os.Getuid() != 0 {
		test(t)
		return
	}
	dir, err := os.MkdirTemp("", "patchfit-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v=true"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	switch {
	case bytes.Contains(out, []byte("LEFT OUT")):
		t.Skipf("as nobody:\n%s", out)
	case err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

// Image returns a builder image in which there is the payload and nothing else.
func Image(t testing.TB) string {
	t.Helper()
	root := openTemp(t)
	AddPayload(t, root)
	return root
}

// AddPayload puts the payload at /bin/payload, and, by links and a script, some
// more ways to run it.
func AddPayload(t testing.TB, root string) {
	t.Helper()
	if f, err := elf.Open("/proc/self/exe"); err == nil {
		defer f.Close()
		if f.Section(".interp") != nil { // it would need libraries that no image has
			machinetest.LeaveOut(t, "the test's program is not static", "run the tests with CGO_ENABLED=0, as make test does")
		}
	}
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile("/proc/self/exe", filepath.Join(bin, program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, link)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "script"), []byte("#!/bin/payload exit\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// openTemp returns a directory that others may read too.
func openTemp(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyFile(from, to string, mode os.FileMode) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// A ran is how a job went.
type ran struct {
	job         *sandbox.Job
	result      *sandbox.Result
	err         error
	out, errout string
}

// do runs the payload.
func (c *contract) do(t *testing.T, change func(j *sandbox.Job), args ...string) ran {
	t.Helper()
	j := &sandbox.Job{Root: c.image, Work: t.TempDir(), Command: append([]string{program}, args...), Env: sandbox.Environ(0)}
	if change != nil {
		change(j)
	}
	var out, errout strings.Builder
	j.Stdout, j.Stderr = &out, &errout
	result, err := c.runner.Run(t.Context(), j)
	if errors.Is(err, sandbox.ErrUnavailable) {
		t.Fatalf("%v\n%s%s", err, &out, &errout)
	}
	return ran{j, result, err, out.String(), errout.String()}
}

func (r ran) String() string {
	return fmt.Sprintf("%+v, %v\nstdout: %.2000s\nstderr: %.2000s", r.result, r.err, r.out, r.errout)
}

// code is the command's exit code, or -1.
func (r ran) code() int {
	var exit *sandbox.ExitError
	switch {
	case r.err == nil:
		return 0
	case errors.As(r.err, &exit):
		return exit.Code
	}
	return -1
}
