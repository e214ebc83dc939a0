package main

import (
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/admin"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/audit"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/browse"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/builder"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/building"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/env"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/examining"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/identity"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/importing"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/mirroring"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/monitoring"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/publishing"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/trust"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/witnessing"
	"github.com/patchfit/patchfit/internal/exit"
)

// newRoot returns the command tree.
func newRoot(sh *shell.Shell) *cobra.Command {
	root := shell.Group("patchfit", "attest builds and live patches, publish them, and ask who built and got what")
	root.Version = version
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(sh.Stdin)
	root.SetOut(sh.Stdout)
	root.SetErr(sh.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.BadUsage(err, "see: "+cmd.CommandPath()+" --help")
	})
	sh.Flags(root)
	for _, room := range []func(*shell.Shell) []*cobra.Command{
		identity.Commands, trust.Commands, admin.Commands, env.Commands, building.Commands, builder.Commands, importing.Commands, examining.Commands, publishing.Commands,
		browse.Commands, mirroring.Commands, verifying.Commands, audit.Commands, monitoring.Commands, witnessing.Commands,
	} {
		root.AddCommand(room(sh)...)
	}
	root.AddCommand(completionCommand(sh), manCommand(sh))
	root.CompletionOptions.DisableDefaultCmd = true
	complete(sh, root)
	return root
}
