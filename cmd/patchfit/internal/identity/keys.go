// Package identity has the verbs about who you are: keygen makes a key, login
// proves it to a server and remembers who you are there.
package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.keygenCommand(), a.loginCommand()}
}

// A keyAnswer describes a key.
type keyAnswer struct {
	SchemaVersion int           `json:"schemaVersion"`
	ID            attest.Digest `json:"id"` // sha256 of the public key's SPKI DER
	Private       string        `json:"private"`
	Public        string        `json:"public"`
	Key           string        `json:"key"` // SPKI DER, standard base64
}

func (a verbs) keygenCommand() *cobra.Command {
	var output, typ string
	cmd := &cobra.Command{
		Use:     "keygen --output FILE",
		Short:   "make a key: FILE, and FILE.pub for others",
		Example: "  patchfit keygen -o ci.pem",
		Long: `Make a key pair: FILE (mode 0600) and FILE.pub. TYPE is ecdsa-p256, rsa-2048,
rsa-3072 or rsa-4096. RSA keys sign statements and trust policies, where a rule
or a device asks for RSA; who one is is proven with ECDSA.

Use a key for one thing: one to prove who you are to a server (login), another
to sign statements, others still, kept off every server, as roots of a trust
policy. Nothing is overwritten.`,
		Args: shell.Exactly(),
		RunE: func(*cobra.Command, []string) error { return a.keygen(output, typ) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file of the private key")
	cmd.Flags().StringVar(&typ, "type", typeECDSA, "type of the key")
	shell.Required(cmd, "output")
	return cmd
}

const typeECDSA = "ecdsa-p256"

// create makes a key of a type that a person named.
func create(path, typ string) error {
	switch typ {
	case typeECDSA:
		return keyfile.CreateECDSA(path)
	case "rsa-2048":
		return keyfile.CreateRSA(path, 2048)
	case "rsa-3072":
		return keyfile.CreateRSA(path, 3072)
	case "rsa-4096":
		return keyfile.CreateRSA(path, 4096)
	case "ed25519":
		return exit.BadUsage(errors.New("Ed25519 keys cannot sign here: the log takes only Ed25519ph, envelope verifiers know only pure Ed25519"), "leave --type out, or: --type rsa-3072")
	}
	return exit.BadUsage(fmt.Errorf("%q is not a type of key", typ), "types: ecdsa-p256, rsa-2048, rsa-3072, rsa-4096")
}

func (a verbs) keygen(path, typ string) error {
	public := path + ".pub"
	if _, err := os.Lstat(public); err == nil {
		return exit.Hint(fmt.Errorf("%s exists already", public), "name another file: nothing is overwritten")
	}
	if err := create(path, typ); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return exit.Hint(fmt.Errorf("%s exists already", path), "name another file: nothing is overwritten")
		}
		return err
	}
	key, err := shell.PublicOf(path)
	if err != nil {
		return err
	}
	if err := keyfile.WriteNewPublic(public, key.PEM()); err != nil {
		return fmt.Errorf("writing the public key: %w", err)
	}
	v := keyAnswer{1, key.ID(), path, public, key.Base64()}
	return a.Print(v, func(w io.Writer) {
		shell.Cells(w, [][]string{{"private key", path}, {"public key", public}, {"key id", string(v.ID)}})
	})
}

func (a verbs) loginCommand() *cobra.Command {
	var s config.Server
	var roots string
	cmd := &cobra.Command{
		Use:     "login URL --principal ID --key FILE",
		Short:   "remember who you are on a server",
		Example: "  patchfit login https://patches.example.org --principal 5f0f6a9e-5a0c-4b8e-9a34-2f6f0c1d7e21 --key me.pem --roots sha256:9b1f…",
		Long: `Prove to the server that you are principal ID, with the private key in FILE, and
remember it for patchfit and docker-credential-patchfit. The key stays where it
is. --roots pins the trust policy: patchfit trust show prints the digest; get it
from the product's owners, not from the server.`,
		Args: shell.Exactly("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := shell.OneOf(cmd, "tls-key", "ca"); err != nil {
				return err
			}
			var err error
			if s.URL, err = serverURL(args[0]); err != nil {
				return err
			}
			if roots != "" {
				if s.Roots, err = shell.Digest(roots); err != nil {
					return err
				}
			}
			s.TLSKey, s.CA = a.TLSKey, a.CA
			return a.login(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.Principal, "principal", "", "your id on the server, as its admin gave it to you")
	f.StringVar(&s.Key, "key", "", "private key file that proves it")
	f.StringVar(&roots, "roots", "", "digest of the trust policy's roots, to pin")
	shell.Required(cmd, "principal", "key")
	return cmd
}

type loginAnswer struct {
	SchemaVersion int           `json:"schemaVersion"`
	Server        string        `json:"server"`
	Principal     string        `json:"principal"`
	Roots         attest.Digest `json:"roots,omitzero"`
}

func (a verbs) login(ctx context.Context, s config.Server) error {
	for _, path := range []*string{&s.Key, &s.CA} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	if _, err := shell.LoadKey(s.Key); err != nil {
		return err
	}
	c, err := s.Connect()
	if err != nil {
		return err
	}
	if _, err := c.Token(ctx); err != nil {
		return err
	}
	if s.Roots != "" {
		if _, err := (&shell.Session{Client: c, Server: s}).PinnedPolicy(ctx); err != nil {
			return err
		}
	}
	if err := remember(s); err != nil {
		return err
	}
	v := loginAnswer{1, s.URL, s.Principal, s.Roots}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "logged in to %s as %s\n", s.URL, s.Principal)
		if s.Roots == "" {
			a.Note("no trust policy is pinned; log in with --roots to pin one")
		}
	})
}

func remember(s config.Server) error {
	dir, err := config.Dir()
	if err != nil {
		return err
	}
	c, err := config.Load(dir)
	if err != nil {
		return err
	}
	c.Set(s)
	return c.Save(dir)
}

// serverURL reads an address somebody typed as a server's base URL.
func serverURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", exit.BadUsage(fmt.Errorf("%q is not a server's URL", s), "as in: https://patches.example.org")
	}
	return strings.TrimSuffix(s, "/"), nil
}
