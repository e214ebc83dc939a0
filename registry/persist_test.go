package registry

import (
	"testing"

	"github.com/patchfit/patchfit/attest"
)

// TestPersistSyncs: what cannot be synced is not acknowledged.
func TestPersistSyncs(t *testing.T) {
	f := &files{dir: t.TempDir()}
	if err := f.persist(attest.DigestOf([]byte("not there"))); err == nil {
		t.Error("directories that are not there were synced")
	}
}
