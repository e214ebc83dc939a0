package build

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/internal/machinetest"
)

const libSource = `#include <stdio.h>
enum mood { CALM, LOUD };
struct s { enum mood a, b; int n; } state;
const char *lib_version(void) { return "lib 1.0.0"; }
int lib_call(const char *who) { printf("hello, %s\n", who); return ++state.n; }
`

// sourceTree writes files (name to content) to a new directory without links in its
// path.
func sourceTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// capture runs a request whose output goes to the test's log.
func capture(t *testing.T, r *Request) (*Capture, error) {
	t.Helper()
	machinetest.Tools(t, "gcc", "strace")
	var out bytes.Buffer
	r.Stdout, r.Stderr = &out, &out
	c, err := Run(t.Context(), r)
	if out.Len() > 0 {
		t.Logf("%v:\n%s", r.Command, out.String())
	}
	return c, err
}

func mustCapture(t *testing.T, r *Request) *Capture {
	t.Helper()
	c, err := capture(t, r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
