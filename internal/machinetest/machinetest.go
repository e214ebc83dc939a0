// Package machinetest has what tests ask of the machine they run on. Where it
// is not there, the test is left out and says what is missing and what to do;
// in CI it fails, because there nothing may be left out. CONTRIBUTING.md lists
// what there is.
package machinetest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// LeaveOut ends a test that this machine cannot run, as what it needs is
// missing.
func LeaveOut(t testing.TB, missing, next string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s; %s", missing, next)
	}
	t.Skipf("LEFT OUT: %s; %s", missing, next)
}

// Tools asks for programs of Debian.
func Tools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			LeaveOut(t, name+" is not installed", "run scripts/setup")
		}
	}
}

// SmallDisk mounts a disk of 4 MiB, with more options of tmpfs that begin with
// a comma, and returns where.
func SmallDisk(t testing.TB, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"+options); err != nil {
		LeaveOut(t, "a disk of 4 MiB cannot be mounted here: "+err.Error(), "run it as root, or in a container that may mount")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// Conformance returns the data of the Sigstore conformance suite, and in it
// the folder of each case. It is in $PATCHFIT_TESTDATA, or beside the
// repository.
func Conformance(t testing.TB, repository string) (suite string, cases []string) {
	t.Helper()
	data := os.Getenv("PATCHFIT_TESTDATA")
	if data == "" {
		data = filepath.Join(repository, "..", "shared", "testdata")
	}
	suite = filepath.Join(data, "sigstore-conformance")
	entries, err := os.ReadDir(filepath.Join(suite, "bundle-verify"))
	if errors.Is(err, fs.ErrNotExist) {
		LeaveOut(t, "the Sigstore conformance suite is not at "+suite, "set PATCHFIT_TESTDATA to the folder that holds sigstore-conformance")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			cases = append(cases, filepath.Join(suite, "bundle-verify", e.Name()))
		}
	}
	if len(cases) < 70 {
		t.Fatalf("only %d cases in %s, want the 70 of the suite", len(cases), suite)
	}
	return suite, cases
}
