package main

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/manual/manualtest"
)

//go:generate go test -run ^TestReference -update .

var update = flag.Bool("update", false, "write the reference again")

// TestReference holds docs/cli/patchfitd.md and man/patchfitd.1 to the program.
func TestReference(t *testing.T) {
	manualtest.Fresh(t, filepath.Join("..", ".."), newRoot(), exit.Codes(), *update)
}

func TestExamples(t *testing.T) { manualtest.Examples(t, newRoot) }
