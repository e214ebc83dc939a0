package audit

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

// decisionName is the id of a decision (docs/spec/journal.md).
var decisionName = regexp.MustCompile(`^d-[0-9A-HJKMNP-TV-Z]{26}$`)

func (a verbs) receiptCommand() *cobra.Command {
	var key bool
	cmd := &cobra.Command{
		Use:   "receipt [DECISION]",
		Short: "print the signed receipt of a decision: a SLSA verification summary",
		Example: `  patchfit audit receipt d-01JDG6N0P3Q5R7S9T1V3W5X7Y9
  patchfit audit receipt --key`,
		Long: `Print the receipt of a decision, as the server signs it: the envelope of a SLSA
verification summary v1. With --key print the public key that receipts of this
server verify with; keep it from when you trusted it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if key {
				return shell.Exactly()(cmd, args)
			}
			return shell.Exactly("DECISION")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.receipt(cmd.Context(), args)
		},
	}
	cmd.Flags().BoolVar(&key, "key", false, "print the public key of receipts")
	return cmd
}

func (a verbs) receipt(ctx context.Context, args []string) error {
	if len(args) > 0 && !decisionName.MatchString(args[0]) {
		return exit.BadUsage(fmt.Errorf("%.80q is not the id of a decision", args[0]), "give it as patchfit audit decisions and every denial print it: d- and 26 letters and digits")
	}
	s, err := a.Connect("")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		b, err := s.Client.ReceiptKey(ctx)
		if err != nil {
			return err
		}
		_, err = a.Stdout.Write(b)
		return err
	}
	b, err := s.Client.Receipt(ctx, args[0])
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(append(b, '\n'))
	return err
}
