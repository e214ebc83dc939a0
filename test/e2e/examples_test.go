package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Builder images of the examples, which make e2e makes from their recipes.
func images() []string { return []string{"builder", "builder-libpulp"} }

// builders lets scripts find the builder images, and unpack each once for all.
func builders(t *testing.T) func(*testscript.Env) {
	cache, bin := t.TempDir(), programs(t)
	for _, name := range images() {
		if _, err := os.Stat(filepath.Join(bin, name, "index.json")); err != nil {
			t.Fatalf("the builder image %s of the examples is not there: run make e2e AREA=build", name)
		}
	}
	return func(e *testscript.Env) {
		e.Setenv("XDG_CACHE_HOME", cache)
		e.Setenv("BIN", bin)
	}
}

// example NAME runs what the README of examples/NAME says, in a copy of examples
// that has the builder images already.
func example(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: example NAME")
	}
	here, err := os.Getwd()
	ts.Check(err)
	copied := ts.MkAbs("examples")
	ts.Check(os.CopyFS(copied, os.DirFS(filepath.Join(here, "..", "..", "examples"))))
	for _, name := range images() {
		ts.Check(os.Symlink(filepath.Join(ts.Getenv("BIN"), name), filepath.Join(copied, name)))
	}
	readme, err := os.ReadFile(filepath.Join(copied, args[0], "README.md"))
	ts.Check(err)
	script := "trap '[ -z \"${SERVER:-}\" ] || kill $SERVER' EXIT\n" + tourScript(string(readme), "")
	ts.Check(ts.Chdir(filepath.Join(copied, args[0])))
	defer ts.Chdir(ts.Getenv("WORK"))
	ts.Check(ts.Exec("bash", "-c", script))
}
