package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestEvidenceContainerd has an unmodified containerd pull from the server, with
// patchfit-verifier in the directory of its image verifiers.
func TestEvidenceContainerd(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("containerd runs as root only; run it as root")
		}
		t.Skip("LEFT OUT: containerd runs as root only; run it as root")
	}
	scripts(t, testscript.Params{Files: []string{filepath.Join("testdata", "containerd", "pull.txtar")}}, nil, "patchfit-verifier", "oras", "containerd", "ctr")
}
