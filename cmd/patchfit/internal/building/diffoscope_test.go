package building

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/rebuild"
)

// What diffoscope says stands in the place of our own page where it came to its
// end and says that the files differ; anything else leaves ours.
func TestDiffoscope(t *testing.T) {
	const ours, theirs = "our page", "their page\n"
	for script, want := range map[string]string{
		`echo their page >"$3"; exit 1`:     theirs,
		`echo their page >"$3"; exit 0`:     ours,
		`echo their page >"$3"; exit 2`:     ours,
		`exit 1`:                            ours,
		`: >"$3"; exit 1`:                   ours,
		`echo their page >"$3"; kill -9 $$`: ours,
		`test -e "$5" || exit 2; test -e "$6" || exit 2; test -z "$SECRET" || exit 2; echo their page >"$3"; exit 1`: theirs,
		"": ours, // it is not installed
	} {
		dir := t.TempDir()
		t.Setenv("SECRET", "x")
		t.Setenv("PATH", dir)
		wanted, out := filepath.Join(dir, "artifact"), filepath.Join(dir, "out")
		files := map[string]string{wanted: "a", out: "b"}
		if script != "" {
			files[filepath.Join(dir, "diffoscope")] = "#!/bin/sh\n" + script + "\n"
		}
		for path, content := range files {
			if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		o := &rebuild.Outcome{Result: attest.Differs, Output: out, Page: []byte(ours)}
		if err := lookCloser(t.Context(), o, wanted, dir); err != nil || string(o.Page) != want {
			t.Errorf("%q: %q, %v; want %q", script, o.Page, err, want)
		}
	}
}
