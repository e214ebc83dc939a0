package host

import (
	"errors"
	"os"
	"testing"
)

// TestStateIsDurableBeforeItIsRead: what an agent that was killed renamed and
// did not sync is made durable by the next, under its lock, or the next does
// not begin.
func TestStateIsDurableBeforeItIsRead(t *testing.T) {
	dir, fault := t.TempDir(), errors.New("input/output error")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var synced []string
	s, err := openSynced(t.Context(), dir, func(dir string) error {
		synced = append(synced, dir)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(synced) != 1 || synced[0] != dir {
		t.Errorf("synced %q, want %s once", synced, dir)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openSynced(t.Context(), dir, func(string) error { return fault }); !errors.Is(err, fault) {
		t.Errorf("it cannot be made durable: %v", err)
	}
	s, err = openState(t.Context(), dir) // the lock of the one that failed is gone
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}
