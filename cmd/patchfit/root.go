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
	for _, c := range chapters() {
		root.AddGroup(&cobra.Group{ID: c.title, Title: c.title + ":"})
		for _, room := range c.rooms {
			for _, cmd := range room(sh) {
				cmd.GroupID = c.title
				root.AddCommand(cmd)
			}
		}
	}
	root.AddCommand(completionCommand(sh), manCommand(sh))
	root.CompletionOptions.DisableDefaultCmd = true
	complete(sh, root)
	return root
}

// A chapter is verbs that are looked for together; help lists them by it.
type chapter struct {
	title string
	rooms []func(*shell.Shell) []*cobra.Command
}

func chapters() []chapter {
	type rooms = []func(*shell.Shell) []*cobra.Command
	return []chapter{
		{"Build, take in, look into", rooms{builder.Commands, building.Commands, env.Commands, importing.Commands, examining.Commands}},
		{"Publish, carry, take back", rooms{publishing.Commands, browse.Commands, mirroring.Commands}},
		{"Verify and ask", rooms{verifying.Commands, audit.Commands, monitoring.Commands, witnessing.Commands}},
		{"Say who counts", rooms{identity.Commands, trust.Commands, admin.Commands}},
	}
}
