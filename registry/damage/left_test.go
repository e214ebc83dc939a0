package damage_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/patchfit/patchfit/registry/damage"
)

// What a server that was killed left beside the book goes when it opens it.
func TestLeftFilesAreSwept(t *testing.T) {
	dir := t.TempDir()
	if _, err := damage.OpenBook(dir, nil); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * time.Hour)
	left := []string{filepath.Join(dir, ".new-1"), filepath.Join(dir, "acknowledged", ".new-2")}
	for _, path := range left {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := damage.OpenBook(dir, nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there still: %v", path, err)
		}
	}
}
