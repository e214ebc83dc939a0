package publishing

import (
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/publish"
)

func (a verbs) equivalenceCommand() *cobra.Command {
	var p publishFlags
	var e publish.Equivalence
	cmd := &cobra.Command{
		Use:     "equivalence --base TAG|DIGEST --capture FILE --reason TEXT --to REPOSITORY --key FILE",
		Short:   "vouch for another environment: patches built in it fit a base all the same",
		Example: "  patchfit publish equivalence --base base-a --capture fix.capture --reason 'kpatch-build in a derived image' --to demo/greet --key base-authority.pem",
		Long: `Say, as the base authority, that patches built in the environment of a capture fit a
base all the same, although the base was built in another one, or imported. The
environment is published too; its builder image has to be there.

The statement names each field that differs with both values, or of an imported base
what nobody could observe. They are shown before anything is sent. For another target,
and for flags beyond maps of paths, include paths and what the kind of patch requires,
nobody can vouch. Patches fit by it only in products that accept the basis of fit
equivalent.`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := p.file("", "")
			if err != nil {
				return err
			}
			e.Capture = f.Capture
			_, pub, err := a.publishTo(cmd.Context(), &p, p.capture)
			if err != nil {
				return err
			}
			e.Tell = func(q *attest.Equivalence) error {
				for _, d := range q.Differences {
					a.Note("vouching for %s: %s in the base's environment, %s in the patch's", d.Field, d.Base, d.Patch)
				}
				for _, field := range q.Unobserved {
					a.Note("vouching for %s, which nobody observed", field)
				}
				return nil
			}
			return a.published(pub.Equivalence(cmd.Context(), e))
		},
	}
	cmd.Flags().StringVar(&e.Base, "base", "", "tag or digest of the base in the repository")
	cmd.Flags().StringVar(&e.Reason, "reason", "", "why patches fit all the same, one line for people")
	shell.Required(cmd, "base", "reason")
	p.captured(cmd)
	p.register(cmd)
	return cmd
}
