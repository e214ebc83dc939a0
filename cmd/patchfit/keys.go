package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/keyfile"
)

// A keyAnswer describes a key.
type keyAnswer struct {
	SchemaVersion int           `json:"schemaVersion"`
	ID            attest.Digest `json:"id"` // sha256 of the public key's SPKI DER
	Private       string        `json:"private"`
	Public        string        `json:"public"`
	Key           string        `json:"key"` // SPKI DER, standard base64
}

func (a *app) keygenCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "keygen --output FILE",
		Short:   "make an ECDSA P-256 key: FILE, and FILE.pub for others",
		Example: "  patchfit keygen -o ci.pem",
		Long: `Make an ECDSA P-256 key pair: FILE (mode 0600) and FILE.pub.

Use a key for one thing: one to prove who you are to a server (login), another
to sign statements, others still, kept off every server, as roots of a trust
policy. Nothing is overwritten.`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error { return a.keygen(output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file of the private key")
	required(cmd, "output")
	return cmd
}

func (a *app) keygen(path string) error {
	public := path + ".pub"
	if _, err := os.Lstat(public); err == nil {
		return hinted{fmt.Errorf("%s exists already", public), "name another file: nothing is overwritten"}
	}
	if err := keyfile.CreateECDSA(path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return hinted{fmt.Errorf("%s exists already", path), "name another file: nothing is overwritten"}
		}
		return err
	}
	key, err := publicOf(path)
	if err != nil {
		return err
	}
	if err := keyfile.WriteNewPublic(public, key.PEM()); err != nil {
		return fmt.Errorf("writing the public key: %w", err)
	}
	v := keyAnswer{1, key.ID(), path, public, key.Base64()}
	return a.print(v, func(w io.Writer) {
		cells(w, [][]string{{"private key", path}, {"public key", public}, {"key id", string(v.ID)}})
	})
}

// loadKey reads the private key file that a person named.
func loadKey(path string) (crypto.Signer, error) {
	k, err := keyfile.LoadSigner(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted{fmt.Errorf("there is no key file %s", path), "make one: patchfit keygen --output " + path}
	}
	return k, err
}

// publicOf returns the public key of a private key file.
func publicOf(path string) (*attest.PublicKey, error) {
	s, err := keyfile.LoadSigner(path)
	if err != nil {
		return nil, err
	}
	return attest.NewPublicKey(s.Public())
}

// readPublic reads a public key, or takes it from a private key file.
func readPublic(path string) (*attest.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	key, err := attest.ParsePublicKeyPEM(b)
	if err == nil {
		return key, nil
	}
	if own, ownErr := publicOf(path); ownErr == nil {
		return own, nil
	}
	return nil, hinted{fmt.Errorf("reading a public key from %s: %w", path, err), "patchfit keygen writes them, as FILE.pub"}
}

func (a *app) loginCommand() *cobra.Command {
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
		Args: exactly("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf(cmd, "tls-key", "ca"); err != nil {
				return err
			}
			var err error
			if s.URL, err = serverURL(args[0]); err != nil {
				return err
			}
			if roots != "" {
				if s.Roots, err = digestOrUsage(roots); err != nil {
					return err
				}
			}
			s.TLSKey, s.CA = a.tlsKey, a.ca
			return a.login(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.Principal, "principal", "", "your id on the server, as its admin gave it to you")
	f.StringVar(&s.Key, "key", "", "private key file that proves it")
	f.StringVar(&roots, "roots", "", "digest of the trust policy's roots, to pin")
	required(cmd, "principal", "key")
	return cmd
}

type loginAnswer struct {
	SchemaVersion int           `json:"schemaVersion"`
	Server        string        `json:"server"`
	Principal     string        `json:"principal"`
	Roots         attest.Digest `json:"roots,omitzero"`
}

func (a *app) login(ctx context.Context, s config.Server) error {
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
	if _, err := loadKey(s.Key); err != nil {
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
		if _, err := (&session{c, s}).pinnedPolicy(ctx); err != nil {
			return err
		}
	}
	if err := remember(s); err != nil {
		return err
	}
	v := loginAnswer{1, s.URL, s.Principal, s.Roots}
	return a.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "logged in to %s as %s\n", s.URL, s.Principal)
		if s.Roots == "" {
			a.note("no trust policy is pinned; log in with --roots to pin one")
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
