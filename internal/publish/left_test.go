package publish

import (
	"path/filepath"
	"strings"
	"testing"
)

// Provenance names what a build makes, and whoever wrote it would have nobody say
// that something else came out: no name of a file keeps a rebuild from being said
// (a registry takes titles that are file names on every system), or stands for
// what the rebuild itself tells.
func TestAttackNamesThatKeepARebuildUnsaid(t *testing.T) {
	for name, want := range map[string]string{
		"libgreet.so":             "libgreet.so",
		"lib greet-1.so.1":        "lib greet-1.so.1",
		`lib\greet.so`:            "output",
		"lib\ngreet.so":           "output",
		"lib\u0085.so":            "output",
		"lib\xff.so":              "output",
		"rebuild.log":             "output",
		"difference.html":         "output",
		strings.Repeat("a", 255):  strings.Repeat("a", 255),
		strings.Repeat("a", 256):  "output",
		strings.Repeat("\\", 255): "output",
		"..":                      "output",
		".":                       "output",
	} {
		if got := outputTitle(filepath.Join("scratch", "out") + "/" + name); got != want {
			t.Errorf("%q is called %q, want %q", name, got, want)
		}
	}
}
