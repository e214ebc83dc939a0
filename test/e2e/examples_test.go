package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// builder lets scripts find the builder image of the examples as $BUILDER, and
// unpack it once for all of them.
func builder(t *testing.T) func(*testscript.Env) {
	cache, image := t.TempDir(), filepath.Join(programs(t), "builder")
	if _, err := os.Stat(filepath.Join(image, "index.json")); err != nil {
		t.Fatal("the builder image of the examples is not there: run make e2e AREA=build")
	}
	return func(e *testscript.Env) {
		e.Setenv("XDG_CACHE_HOME", cache)
		e.Setenv("BUILDER", image)
	}
}

// example NAME runs what the README of examples/NAME says, in a copy of examples
// that has the builder image already.
func example(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: example NAME")
	}
	here, err := os.Getwd()
	ts.Check(err)
	copied := ts.MkAbs("examples")
	ts.Check(os.CopyFS(copied, os.DirFS(filepath.Join(here, "..", "..", "examples"))))
	ts.Check(os.Symlink(ts.Getenv("BUILDER"), filepath.Join(copied, "builder")))
	readme, err := os.ReadFile(filepath.Join(copied, args[0], "README.md"))
	ts.Check(err)
	script := "trap '[ -z \"${SERVER:-}\" ] || kill $SERVER' EXIT\n" + tourScript(string(readme), "")
	ts.Check(ts.Chdir(filepath.Join(copied, args[0])))
	defer ts.Chdir(ts.Getenv("WORK"))
	ts.Check(ts.Exec("bash", "-c", script))
}
