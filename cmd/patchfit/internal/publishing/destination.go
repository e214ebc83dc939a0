package publishing

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/publish"
)

// A Destination is where something is published and what signs for it, for
// rooms whose verbs publish too.
type Destination struct{ flags publishFlags }

// Register adds its flags, none of them required.
func (d *Destination) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.flags.to, "to", "", "repository of the product, and a tag if it shall have one: [HOST/]NAME[:TAG]")
	d.flags.signing(cmd)
}

// Given reports whether there is one.
func (d *Destination) Given() bool { return d.flags.to != "" }

// Product returns the product id that was given; "" where none was.
func (d *Destination) Product() string { return d.flags.product }

// Open connects and prepares to publish. near is next to where what an
// interrupted publish left is kept.
func (d *Destination) Open(ctx context.Context, sh *shell.Shell, near string) (shell.Reference, *publish.Publisher, error) {
	return verbs{sh}.publishTo(ctx, &d.flags, near)
}

// Print prints what was published.
func Print(sh *shell.Shell, r *publish.Result, err error) error { return verbs{sh}.published(r, err) }
