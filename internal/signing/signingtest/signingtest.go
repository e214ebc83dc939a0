// Package signingtest has a key service for tests: a real program that speaks
// sigstore's plugin protocol, and whose keys are files.
package signingtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Box builds the program sigstore-kms-box, puts it on the PATH and returns the
// directory of its keys: the file NAME there is the key box://NAME.
func Box(t testing.TB) (keys string) {
	t.Helper()
	bin, keys := t.TempDir(), t.TempDir()
	_, here, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(here), "..", "testdata", "sigstore-kms-box")
	cmd := exec.Command("go", "build", "-o", filepath.Join(bin, "sigstore-kms-box"), ".")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the key service: %v\n%s", err, out)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("BOX", keys)
	return keys
}
