package runc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/sandbox/sandboxtest"
	"github.com/patchfit/patchfit/internal/machinetest"
)

func TestMain(m *testing.M) { os.Exit(sandboxtest.Main(m)) }

func runner(t *testing.T) *Runner {
	t.Helper()
	machinetest.Tools(t, "runc")
	r, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRuncAsRoot(t *testing.T) {
	r := runner(t)
	sandboxtest.AsRoot(t, func(t *testing.T) { sandboxtest.Run(t, r) })
}

func TestRuncAsUser(t *testing.T) {
	r := runner(t)
	sandboxtest.AsUser(t, func(t *testing.T) { sandboxtest.Run(t, r) })
}

// A build leaves the same bytes in both runners, as root and as anybody, and is
// watched with the same words.
func TestSameBytes(t *testing.T) {
	runners := map[string]sandbox.Runner{"embedded": sandbox.New(nil), "runc": runner(t)}
	const known = "PATCHFIT_TEST_SAME_BYTES" // what root's builds left, for nobody's
	want := os.Getenv(known)
	image := sandboxtest.GCC(t)
	for name, r := range runners {
		got := compile(t, r, image)
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s as %d: %s\nwant %s", name, os.Getuid(), got, want)
		}
	}
	if os.Getuid() == 0 {
		t.Setenv(known, want)
		sandboxtest.AsUser(t, nil)
	}
}

// compile says what a build ran and left.
func compile(t *testing.T, r sandbox.Runner, image string) string {
	t.Helper()
	var said, ran strings.Builder
	j := &sandbox.Job{Root: image, Work: t.TempDir(), Command: sandboxtest.Compile(), Env: sandbox.Environ(0), Stdout: &said, Stderr: &said}
	j.Watch = func(e sandbox.Exec) { fmt.Fprintln(&ran, filepath.Base(e.Path), len(e.Argv), e.Dir) }
	sandboxtest.Source(t, j.Work, 3)
	if _, err := r.Run(t.Context(), j); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	b, err := os.ReadFile(filepath.Join(j.Work, "lib.so"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x\n%s", sha256.Sum256(b), &ran)
}

func TestNoRuntime(t *testing.T) {
	if _, err := New(&Options{Program: "no-such-runtime"}); !errors.Is(err, sandbox.ErrUnavailable) {
		t.Error(err)
	}
}
