// Command patchfitd is the server: an OCI registry with a pull gate, the
// transparency log and timestamp authority its evidence stands on, the journal
// of what was decided, and the pages auditors ask.
//
// main parses the command line; house.go opens every room in the order they
// depend on each other; serve.go puts doors on them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

var version = "unknown" // set by the linker

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// A hinted error carries a next step for a person.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "patchfitd",
		Short:         "serve live patches only to the builds they were made for",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	config := root.PersistentFlags().String("config", "/etc/patchfit/patchfitd.yaml", "configuration file")
	root.AddCommand(initCommand(config), serveCommand(config), reindexCommand(config))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "patchfitd: error:", err)
	if h := (hinted{}); errors.As(err, &h) {
		fmt.Fprintln(stderr, "patchfitd: hint:", h.hint)
	}
	return 1
}
