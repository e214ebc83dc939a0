package durable

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// old makes a file look as if nobody had written to it for two hours.
func old(t *testing.T, path string) {
	t.Helper()
	then := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// What a killed writer left goes when it is old; everything else stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for name, aged := range map[string]bool{".new-123": true, ".new-456": false, ".new-": true, ".new-12x": true, "new-1": true, "state.json": true, ".new-1.json": true} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if aged {
			old(t, path)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".new-789"), 0o700); err != nil {
		t.Fatal(err)
	}
	old(t, filepath.Join(dir, ".new-789"))
	if err := os.Symlink("state.json", filepath.Join(dir, ".new-555")); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{".new-", ".new-1.json", ".new-12x", ".new-456", ".new-555", ".new-789", "new-1", "state.json"}; !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
	if err := Sweep(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}

// A writer that was stopped for hours finds its file, up to its last step.
func TestSweepTakesNothingOfALiveWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	f, err := temporary(path, []byte("mine"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	old(t, f.Name())
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	err = put(f, path, func(from, to string) error { // stopped again, just before it has its name
		old(t, from)
		if err := Sweep(dir); err != nil {
			return err
		}
		return os.Rename(from, to)
	})
	if err != nil {
		t.Fatal(err)
	}
	has(t, path, "mine", 0o600)
}

// The lock of a writer goes with it.
func TestSweepTakesWhatADeadWriterLeft(t *testing.T) {
	dir := t.TempDir()
	f, err := temporary(filepath.Join(dir, "state.json"), []byte("half"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil { // as its end does
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil || len(names(t, dir)) != 1 {
		t.Errorf("a young one: %v, %q", err, names(t, dir))
	}
	old(t, f.Name())
	if err := Sweep(dir); err != nil || len(names(t, dir)) != 0 {
		t.Errorf("%v, %q", err, names(t, dir))
	}
}
