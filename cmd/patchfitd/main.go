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
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return exit.BadUsage(fmt.Errorf("patchfitd has no command %q", args[0]), "one of: init, serve, doctor, gc, scrub, reindex, log, admin-token, renew-timestamps")
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.BadUsage(err, "see: "+cmd.CommandPath()+" --help")
	})
	config := root.PersistentFlags().String("config", "/etc/patchfit/patchfitd.yaml", "configuration file")
	root.AddCommand(initCommand(config), serveCommand(config), gcCommand(config), scrubCommand(config), doctorCommand(), reindexCommand(config), logCommand(config), adminTokenCommand(config), renewCommand(config))
	return root
}

// none refuses arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return exit.BadUsage(fmt.Errorf("unexpected argument %q", args[0]), "see: "+cmd.CommandPath()+" --help")
}
