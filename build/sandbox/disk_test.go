package sandbox

import (
	"os"
	"path/filepath"
	"testing"
)

// A tree is measured without leaving it, each file once, and what is closed is
// said to be hidden.
func TestTreeSize(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int64) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, name), n); err != nil {
			t.Fatal(err)
		}
	}
	size := func() int64 {
		t.Helper()
		n, hidden, err := treeSize(dir)
		if err != nil || hidden {
			t.Fatal(n, hidden, err)
		}
		return n
	}
	before := size()
	write("sparse", 1<<30)
	if err := os.Link(filepath.Join(dir, "sparse"), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if got := size() - before; got != 1<<30 {
		t.Errorf("a sparse file of two names counts as %d", got)
	}
	before = size()
	write("empty", 0)
	if err := os.Symlink("/", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if got := size() - before; got != 2*leastFile {
		t.Errorf("an empty file and a link count as %d", got)
	}
	if _, _, err := treeSize(filepath.Join(dir, "none")); err == nil {
		t.Error("nothing has a size")
	}
}
