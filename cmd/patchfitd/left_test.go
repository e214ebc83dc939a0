package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a server that was killed left in its data directory, and beside its keys,
// goes when the next one opens it.
func TestLeftFilesAreSwept(t *testing.T) {
	config := newData(t, "")
	h, err := openHouse(t.Context(), config, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * time.Hour)
	left := []string{h.path(".new-1"), filepath.Join(h.path(keysDir), ".new-2")}
	for _, path := range left {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	if h, err = openHouse(t.Context(), config, t.Output()); err != nil {
		t.Fatal(err)
	}
	defer h.close()
	for _, path := range left {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there still: %v", path, err)
		}
	}
}
