// Command patchfitd is the server: an OCI registry with a pull gate, the
// transparency log and timestamp authority its evidence stands on, the journal
// of what was decided, and the pages auditors ask.
//
// main parses the command line; house.go opens every room in the order they
// depend on each other; serve.go puts doors on them.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/patchfit/patchfit/internal/exit"
)

var version = "unknown" // set by the linker

func main() {
	// Tessera logs through klog, which is one for the whole process, and tells
	// every step at info.
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return exit.Report(ctx, stderr, "patchfitd", root.ExecuteContext(ctx), nil)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "patchfitd",
		Short:         "serve live patches only to the builds they were made for",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.BadUsage(err, "see: "+cmd.CommandPath()+" --help")
	})
	config := root.PersistentFlags().String("config", "/etc/patchfit/patchfitd.yaml", "configuration file")
	return group(root, initCommand(config), serveCommand(config), doctorCommand(), gcCommand(config), scrubCommand(config), reindexCommand(config), logCommand(config), adminTokenCommand(config), renewCommand(config))
}

// group makes cmd one that only has commands below it.
func group(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	var names []string
	for _, c := range below {
		names = append(names, c.Name())
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return exit.BadUsage(fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0]), "one of: "+strings.Join(names, ", "))
	}
	cmd.AddCommand(below...)
	return cmd
}

// none refuses arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return exit.BadUsage(fmt.Errorf("unexpected argument %q", args[0]), "see: "+cmd.CommandPath()+" --help")
}
