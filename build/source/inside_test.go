package source

import (
	"os"
	"path/filepath"
	"testing"
)

// An archive that is made within the tree is no part of it, nor is the directory
// that whoever packs made for it: the same tree has the same digest.
func TestArchiveWithinItsTree(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.c"), []byte("int a;"), 0o644); err != nil {
		t.Fatal(err)
	}
	alone, err := Pack(t.Context(), Origin{Path: dir}, filepath.Join(t.TempDir(), "source.tar"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		aside, err := os.MkdirTemp(dir, ".patchfit-out-")
		if err != nil {
			t.Fatal(err)
		}
		within, err := Pack(t.Context(), Origin{Path: dir, Except: []string{aside}}, filepath.Join(aside, "source.tar"), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if within.Digest != alone.Digest || within.Files != alone.Files {
			t.Errorf("%s of %d files, want %s of %d", within.Digest, within.Files, alone.Digest, alone.Files)
		}
		if err := os.RemoveAll(aside); err != nil {
			t.Fatal(err)
		}
	}
}
