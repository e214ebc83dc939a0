// Command patchfit is for publishers, auditors and admins: it captures the
// environment of a build, publishes builder images, bases and live patches
// with their proofs, verifies them offline, and asks a server's ledger.
//
// root.go is the command tree; every group of verbs has a room of its own below
// internal/, and all stand on internal/shell. docs/spec/cli.md.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

var version = "unknown" // set by the linker

func main() {
	if code, ours := sandbox.Main(); ours {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: arguments and streams in, exit code out.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	sh := &shell.Shell{Stdin: stdin, Stdout: stdout, Stderr: stderr}
	root := newRoot(sh)
	root.SetArgs(args)
	return exit.Report(ctx, stderr, "patchfit", root.ExecuteContext(ctx), judge)
}
