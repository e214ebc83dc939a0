package building

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/build/rebuild"
)

// Provenance names the file that a build makes. One that is called as what a
// rebuild tells does not stand in its place.
func TestAttackAnOutputThatIsCalledAsTheLog(t *testing.T) {
	for _, name := range []string{"rebuild.log", "difference.html", "lib.so"} {
		t.Run(name, func(t *testing.T) {
			made := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(made, []byte("what came out"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := &rebuilding{out: filepath.Join(t.TempDir(), "out")}
			if err := r.keep(&rebuild.Outcome{Log: []byte("the log"), Page: []byte("the page"), Output: made}); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"rebuild.log": "the log", "difference.html": "the page"}
			if name == "lib.so" {
				want[name] = "what came out"
			} else {
				want["output-"+name] = "what came out"
			}
			for file, text := range want {
				if b, err := os.ReadFile(filepath.Join(r.out, file)); err != nil || string(b) != text {
					t.Errorf("%s: %q, %v; want %q", file, b, err, text)
				}
			}
		})
	}
}
