package e2e

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestEvidence runs tools that others wrote, unmodified, on what patchfit signs
// and logs: what they accept, and that they refuse what was changed.
func TestEvidence(t *testing.T) {
	area(t, "evidence", func(e *testscript.Env) {
		e.Setenv("NPM", filepath.Join(moduleDir(t), "npm"))
	}, "oras", "cosign", "sigstore-go-verification", "slsa-verifier", "rekor-server-posix")
}
