package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What an agent that was killed left in the state directory is gone when the
// next one opened it.
func TestLeftFilesAreSwept(t *testing.T) {
	m := enrolled(t)
	left := filepath.Join(m.state, ".new-1234567890")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(left, then, then); err != nil {
		t.Fatal(err)
	}
	m.does(func(*Agent) error { return nil })
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("it is there still: %v", err)
	}
}
