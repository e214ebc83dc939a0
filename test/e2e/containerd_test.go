package e2e

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestEvidenceContainerd has an unmodified containerd pull from the server, with
// patchfit-verifier in the directory of its image verifiers.
func TestEvidenceContainerd(t *testing.T) {
	asRoot(t, "containerd runs as root only")
	scripts(t, testscript.Params{Files: []string{filepath.Join("testdata", "containerd", "pull.txtar")}}, nil, "patchfit-verifier", "oras", "containerd", "ctr")
}
