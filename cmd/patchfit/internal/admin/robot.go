package admin

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/registry/api"
)

const defaultRobotTTL = 30 * 24 * time.Hour

func (a verbs) robotCommand() *cobra.Command {
	return shell.Group("robot", "make, list and revoke tokens with an end, for machines (role admin)",
		a.createRobotCommand(), a.listRobotsCommand(), a.revokeRobotCommand())
}

// A Robot is a robot that was made. Token is left out where it was
// written to a file.
type Robot struct {
	SchemaVersion int       `json:"schemaVersion"`
	Server        string    `json:"server"`
	Principal     string    `json:"principal"`
	Username      string    `json:"username"`
	Token         string    `json:"token,omitzero"`
	File          string    `json:"file,omitzero"`
	Expires       time.Time `json:"expires"`
}

func (a verbs) createRobotCommand() *cobra.Command {
	var q api.NewRobot
	var ttl time.Duration
	var output string
	cmd := &cobra.Command{
		Use:     "create NAME --product ID --role ROLE",
		Short:   "make a robot; prints its token, which is shown this once",
		Example: "  patchfit robot create ci --product 0b7c1d1e-7c0c-4a52-9f0e-3d8f7a5f6a11 --role publisher --ttl 720h -o ci.token",
		Long: `Make a robot: someone with one role, who proves themselves with a token until it
expires. Stock OCI clients log in with the user name robot$NAME and the token as
password; patchfit takes it with --token-file, and the API as a bearer token.

Roles: publisher, rebuilder, auditor. With --read-only it may ask what its role
may, and change nothing. Product "*", alone, goes with auditor.`,
		Args: shell.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Name = args[0]
			if ttl < time.Second || ttl > api.MaxRobotTTL || ttl%time.Second != 0 {
				return exit.BadUsage(fmt.Errorf("--ttl %s is not between 1s and %s, in whole seconds", ttl, api.MaxRobotTTL), "as in: --ttl 720h, which is 30 days")
			}
			q.TTL = int64(ttl / time.Second)
			return a.makeRobot(cmd, q, output)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&q.Products, "product", nil, "product id, or *; repeat for each")
	f.StringVar(&q.Role, "role", "", "publisher, rebuilder or auditor")
	f.BoolVar(&q.ReadOnly, "read-only", false, "it may ask and change nothing")
	f.DurationVar(&ttl, "ttl", defaultRobotTTL, "how long the token is good for, at most 8760h")
	f.StringVarP(&output, "output", "o", "", "file (mode 0600) to write the token to, instead of printing it")
	shell.Required(cmd, "product", "role")
	return cmd
}

func (a verbs) makeRobot(cmd *cobra.Command, q api.NewRobot, output string) error {
	if output != "" { // found out before there is a token nobody would see
		if _, err := os.Lstat(output); err == nil {
			return exit.Hint(fmt.Errorf("%s exists already", output), "name another file: nothing is overwritten")
		}
	}
	s, err := a.Connect("")
	if err != nil {
		return err
	}
	made, err := s.Client.NewRobot(cmd.Context(), q)
	if err != nil {
		return err
	}
	v := Robot{1, s.Client.Server(), made.Principal, made.Username, made.Token, output, made.Expires}
	if output != "" {
		v.Token = ""
		if err := keyfile.WriteNew(output, []byte(made.Token+"\n")); err != nil {
			return exit.Hint(fmt.Errorf("writing the token: %w", err), "nobody has this token: patchfit robot revoke "+made.Principal)
		}
	}
	return a.Print(v, func(w io.Writer) { a.robotText(w, v) })
}

// robotText prints the token alone, for scripts; what else there is to know is
// no data.
func (a verbs) robotText(w io.Writer, v Robot) {
	if v.Token != "" {
		fmt.Fprintln(w, v.Token)
	} else {
		fmt.Fprintln(w, v.Principal)
	}
	a.Note("robot %s, good until %s; log a stock client in with: docker login --username '%s' --password-stdin %s",
		v.Principal, v.Expires.Format(time.RFC3339), v.Username, config.Address(v.Server))
}

func (a verbs) listRobotsCommand() *cobra.Command {
	var everyone bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "list who has a bearer token, what they may and until when; no secrets",
		Example: "  patchfit robot list",
		Args:    shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			v, err := s.Client.Principals(cmd.Context())
			if err != nil {
				return err
			}
			if !everyone {
				v.Principals = tokensOnly(v.Principals)
			}
			return a.Print(v, func(w io.Writer) { principalsText(w, v.Principals) })
		},
	}
	cmd.Flags().BoolVar(&everyone, "all", false, "people and robots with a key too: everyone but hosts")
	return cmd
}

func tokensOnly(all []api.Principal) []api.Principal {
	tokens := []api.Principal{}
	for _, p := range all {
		if p.Proof == "token" {
			tokens = append(tokens, p)
		}
	}
	return tokens
}

func principalsText(w io.Writer, all []api.Principal) {
	rows := [][]string{{"NAME", "ID", "PROOF", "STATE", "EXPIRES", "ROLES"}}
	for _, p := range all {
		end := "never"
		if !p.Expires.IsZero() {
			end = p.Expires.Format(time.RFC3339)
		}
		rows = append(rows, []string{p.Name, p.Principal, p.Proof, p.State, end, rolesText(p)})
	}
	shell.Cells(w, rows)
}

func rolesText(p api.Principal) string {
	var words []string
	for _, r := range p.Roles {
		words = append(words, r.Role+" in "+r.Product)
	}
	text := cmp.Or(strings.Join(words, ", "), "none")
	if p.ReadOnly {
		text += " (read-only)"
	}
	return text
}

func (a verbs) revokeRobotCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID",
		Short:   "take everything from a robot, or from anyone who is no host, for good",
		Example: "  patchfit robot revoke 5f0f6a9e-5a0c-4b8e-9a34-2f6f0c1d7e21",
		Long: `Take everything from a robot, for good: at its next request, with its token or
with an access token it got before. A person or robot with a key can be revoked
the same way; hosts have admin host --state revoked. Nobody revokes themselves.`,
		Args: shell.OneID("ID", "robot: several can have one name", "patchfit robot list, with --all for who has a key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.Connect("")
			if err != nil {
				return err
			}
			v, err := s.Client.EndPrincipal(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.Print(v, func(w io.Writer) { fmt.Fprintf(w, "revoked %s: record %d\n", args[0], v.Sequence) })
		},
	}
}
