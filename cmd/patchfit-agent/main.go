// Command patchfit-agent is what runs on hosts: it enrols the host, records
// what the host runs, and pulls live patches that this host, asking everything
// again, finds to fit. It applies nothing.
//
// main parses the command line; verbs.go runs the verbs, output.go prints what
// they found, exit.go says how it went, with internal/exit. The work is in package host.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
)

var version = "unknown" // set by the linker

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// A program is one run: what its global flags say, and where it prints.
type program struct {
	state   string
	format  string
	in      io.Reader
	out     io.Writer
	err     io.Writer
	started bool // a verb runs: what goes wrong now is not the command line's fault
}

const defaultState = "/var/lib/patchfit-agent"

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{in: stdin, out: stdout, err: stderr}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !p.started {
		err = badUsage(err)
	}
	return exit.Report(ctx, stderr, "patchfit-agent", err, judge)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "patchfit-agent",
		Short:         "record what this host runs, and pull live patches made for exactly that",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          p.verb(func(cmd *cobra.Command, _ []string) error { return cmd.Help() }),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if p.format != "text" && p.format != "json" {
				return fmt.Errorf("--format %q is neither text nor json", p.format)
			}
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&p.state, "state", stateDir(), "state directory; $PATCHFIT_AGENT_STATE")
	f.StringVar(&p.format, "format", "text", "how to print data: text or json")
	root.AddCommand(p.enrollCommand(), p.recordCommand(), p.statusCommand(), p.pullCommand(), p.whyCommand())
	return root
}

// verb marks the point from which errors are no longer the command line's.
func (p *program) verb(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		p.started = true
		return run(cmd, args)
	}
}

func stateDir() string {
	if dir := os.Getenv("PATCHFIT_AGENT_STATE"); dir != "" {
		return dir
	}
	return defaultState
}
