package e2e

import (
	"os"
	"testing"
)

// leaveOut ends a test that this machine cannot run; in CI, where nothing may be
// left out, it fails. internal/machinetest has the same for the product's own
// tests: this module knows the built programs and nothing of their code.
func leaveOut(t *testing.T, missing, next string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s; %s", missing, next)
	}
	t.Skipf("LEFT OUT: %s; %s", missing, next)
}

// asRoot leaves a test out that somebody without rights cannot run.
func asRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		leaveOut(t, why, "run it as root")
	}
}
