package lossy_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/test/e2e/lossy"
)

// What a power cut takes and leaves: a test that could not lose anything would
// prove nothing.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	f, err := lossy.Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Unmount() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string, syncFile bool) {
		t.Helper()
		w, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o600)
		must(err)
		_, err = w.WriteString(text)
		must(err)
		if syncFile {
			must(w.Sync())
		}
		must(w.Close())
	}
	syncDir := func(name string) {
		t.Helper()
		d, err := os.Open(filepath.Join(dir, name))
		must(err)
		must(d.Sync())
		must(d.Close())
	}
	want := func(name, text string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(dir, name))
		if text == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is there: %q, %v", name, got, err)
			}
			return
		}
		if err != nil || string(got) != text {
			t.Errorf("%s: %q, %v; want %q", name, got, err, text)
		}
	}

	must(os.Mkdir(filepath.Join(dir, "d"), 0o700))
	write("d/both", "synced", true)
	syncDir("d")
	syncDir("")
	write("d/name-only", "lost", false)
	write("d/second-name", "kept", true)
	syncDir("d")
	write("d/data-only", "lost", true)
	write("d/both", "SYNCED, and then some", false)
	must(os.Rename(filepath.Join(dir, "d/second-name"), filepath.Join(dir, "d/renamed")))
	must(f.Cut(nil))

	want("d/both", "synced")
	want("d/data-only", "")
	want("d/second-name", "kept")
	want("d/renamed", "")
	if i, err := os.Stat(filepath.Join(dir, "d/name-only")); err != nil || i.Size() != 0 {
		t.Errorf("name-only: %v, %v; want an empty file", i, err)
	}

	w, err := os.OpenFile(filepath.Join(dir, "d/osync"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	must(err)
	_, err = w.WriteString("by O_SYNC")
	must(err)
	must(w.Close())
	must(os.Link(filepath.Join(dir, "d/osync"), filepath.Join(dir, "d/linked")))
	must(os.Remove(filepath.Join(dir, "d/osync")))
	syncDir("d")
	must(f.Cut(nil))
	want("d/osync", "")
	want("d/linked", "by O_SYNC")
}
