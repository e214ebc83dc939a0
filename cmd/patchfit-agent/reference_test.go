package main

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/manual/manualtest"
)

//go:generate go test -run ^TestReference -update .

var update = flag.Bool("update", false, "write the reference again")

// TestReference holds docs/cli/patchfit-agent.md and man/patchfit-agent.1 to
// the program.
func TestReference(t *testing.T) {
	t.Setenv("PATCHFIT_AGENT_STATE", "")
	manualtest.Fresh(t, filepath.Join("..", ".."), (&program{}).root(), exit.Codes(), *update)
}

func TestExamples(t *testing.T) {
	manualtest.Examples(t, func() *cobra.Command { return (&program{}).root() })
}
