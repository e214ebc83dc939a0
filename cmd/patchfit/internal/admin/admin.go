// Package admin has the verbs of a server's admins: who and what there is on it
// (docs/spec/enrolment.md, docs/spec/auth.md).
package admin

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/registry/api"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.adminCommand(), a.robotCommand()}
}

func (a verbs) adminCommand() *cobra.Command {
	return shell.Group("admin", "say who and what there is on a server (role admin)",
		a.productCommand(), a.principalCommand(), a.grantCommand(), a.tokenCommand(), a.hostCommand(), a.embargoCommand())
}

func (a verbs) productCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "product ID",
		Short:   "serve a product that the trust policy names",
		Example: "  patchfit admin product 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11",
		Args:    shell.OneID("product ID", "product", "patchfit trust show POLICY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			v, err := s.Client.AddProduct(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.Print(v, func(w io.Writer) { fmt.Fprintf(w, "serving product %s in %s\n", v.Product, v.Repository) })
		},
	}
}

func (a verbs) principalCommand() *cobra.Command {
	var name, key string
	cmd := &cobra.Command{
		Use:     "principal --name NAME --key FILE.pub",
		Short:   "make a person or robot known by a public key; prints the id to log in with",
		Example: "  patchfit admin principal --name ci --key ci.pem.pub",
		Args:    shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := shell.ReadPublic(cmd.Context(), key)
			if err != nil {
				return err
			}
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			v, err := s.Client.AddPrincipal(cmd.Context(), name, k)
			if err != nil {
				return err
			}
			return a.Print(v, func(w io.Writer) { fmt.Fprintln(w, v.Principal) })
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "a label for people")
	cmd.Flags().StringVar(&key, "key", "", "public key file")
	shell.Required(cmd, "name", "key")
	return cmd
}

func (a verbs) grantCommand() *cobra.Command {
	var g api.Grant
	cmd := &cobra.Command{
		Use:     "grant --principal ID --product ID --role ROLE",
		Short:   "give a principal a role in a product, or take it",
		Example: "  patchfit admin grant --principal 5f0f6a9e-5a0c-4b8e-9a34-2f6f0c1d7e21 --product 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11 --role publisher",
		Long: `Give a principal a role in a product, or take it with --revoke.
Roles: publisher, rebuilder, auditor, admin. Product "*" goes with admin and auditor
only. Hosts get their role by enrolling.`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			if err := s.Client.Grant(cmd.Context(), g); err != nil {
				return err
			}
			v := struct {
				SchemaVersion int `json:"schemaVersion"`
				api.Grant
			}{1, g}
			return a.Print(v, func(w io.Writer) {
				verb := "has"
				if g.Revoke {
					verb = "no longer has"
				}
				fmt.Fprintf(w, "%s %s role %s in %s\n", g.Principal, verb, g.Role, g.Product)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&g.Principal, "principal", "", "id of the principal")
	f.StringVar(&g.Product, "product", "", "product id, or *")
	f.StringVar(&g.Role, "role", "", "publisher, rebuilder, auditor or admin")
	f.BoolVar(&g.Revoke, "revoke", false, "take the role away")
	shell.Required(cmd, "principal", "product", "role")
	return cmd
}

func (a verbs) tokenCommand() *cobra.Command {
	var products []string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:     "token --product ID",
		Short:   "make a token with which one host can enrol, once",
		Example: "  patchfit admin token --product 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11 --ttl 1h",
		Args:    shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			v, err := s.Client.NewEnrolmentToken(cmd.Context(), products, ttl)
			if err != nil {
				return err
			}
			return a.Print(v, func(w io.Writer) {
				fmt.Fprintln(w, v.Token)
				a.Note("token %s is good for one host until %s; give it to patchfit-agent enroll", v.ID, v.Expires.Format(time.RFC3339))
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&products, "product", nil, "product id the host will be in; repeat for each")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good for, at most 24h")
	shell.Required(cmd, "product")
	return cmd
}

func (a verbs) hostCommand() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:     "host ID",
		Short:   "show a host, or set its state",
		Example: "  patchfit admin host 9a3c1f62-90a8-4a43-8d2b-64a1f1c0b7d2 --state suspended",
		Args:    shell.OneID("host ID", "host", "patchfit-agent status, on the host; patchfit audit decisions, of those that asked"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			if state != "" {
				if err := s.Client.SetHostState(cmd.Context(), args[0], state); err != nil {
					return err
				}
			}
			v, err := s.Client.Host(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.Print(v, func(w io.Writer) { hostText(w, v) })
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "active, suspended or revoked; a revoked host never comes back")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if state != "" && state != api.HostActive && state != api.HostSuspended && state != api.HostRevoked {
			return exit.BadUsage(errors.New("state "+state+" is not active, suspended or revoked"), "")
		}
		return run(cmd, args)
	}
	return cmd
}

func hostText(w io.Writer, h *api.Host) {
	rows := [][]string{{"host", h.Host}, {"name", h.Name}, {"state", h.State}, {"products", strings.Join(h.Products, ", ")}}
	if h.Cloned {
		rows = append(rows, []string{"cloned", "its key is used by two machines"})
	}
	if h.Record == nil {
		rows = append(rows, []string{"record", "none yet"})
	} else {
		rows = append(rows, []string{"record", fmt.Sprintf("%d, received %s", h.Record.Sequence, h.Record.Received.Format(time.RFC3339))})
	}
	for _, b := range h.Bases {
		rows = append(rows, []string{"runs", b.Repository + "@" + string(b.Manifest)})
	}
	shell.Cells(w, rows)
}
