package e2e

import "testing"

// TestBuild runs the scripts about builds: what they run in, and what comes out.
func TestBuild(t *testing.T) { area(t, "build", nil) }
