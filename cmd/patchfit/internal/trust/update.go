package trust

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger/tuf"
)

func (a verbs) updateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "update",
		Short:   "bring what is known of a server's trust up to date, by its TUF repository",
		Example: "  patchfit trust update",
		Long: `Bring the trust policy up to date by the TUF repository that the policy pinned at
login names, remember it, and say until when it is good. Verbs that need the
trust policy do the same by themselves; what was seen once is never gone back
on.`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.trustUpdate(cmd.Context()) },
	}
}

type trustUpdateAnswer struct {
	SchemaVersion int            `json:"schemaVersion"`
	Server        string         `json:"server"`
	Policy        int64          `json:"policy"` // versions
	Root          int64          `json:"root"`
	Targets       int64          `json:"targets"`
	Timestamp     int64          `json:"timestamp"`
	Until         time.Time      `json:"until"`
	Pin           attest.TUFRoot `json:"pin"`
}

func (a verbs) trustUpdate(ctx context.Context) error {
	s, err := a.Connect("")
	if err != nil {
		return err
	}
	p, err := s.PinnedPolicy(ctx)
	if err != nil {
		return err
	}
	if p.TUF == (attest.TUFRoot{}) {
		return exit.Hint(fmt.Errorf("trust policy version %d names no TUF repository", p.Version), "it is fetched from the server whenever it is needed; its owners make a repository: patchfit trust tuf root")
	}
	t, err := s.TUF()
	if err != nil {
		return err
	}
	v := trustUpdateAnswer{
		SchemaVersion: 1, Server: s.Client.Server(), Policy: p.Version, Pin: p.TUF,
		Root: t.Heading(tuf.RoleRoot).Version, Targets: t.Heading(tuf.RoleTargets).Version, Timestamp: t.Heading(tuf.RoleTimestamp).Version, Until: t.Until(),
	}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "trust policy version %d, by root version %d and targets version %d\nup to date until %s\n", v.Policy, v.Root, v.Targets, v.Until.Format(time.RFC3339))
	})
}
