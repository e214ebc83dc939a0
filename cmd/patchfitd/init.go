package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry/auth"
)

const trustedRootFile = "trusted_root.json"

// initCommand makes a data directory: keys, an empty log and journal, and the
// first admin, whose token it prints once.
func initCommand(config *string) *cobra.Command {
	var c serverconfig.Config
	var tokenFile string
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "make keys, an empty ledger, a configuration and the admin token",
		Example: "  patchfitd init --listen :8443 --url https://patches.example.org:8443 --tls-certificate tls.pem --tls-key tls.key --admin-token admin-token",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := initialise(cmd.Context(), *config, &c, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return handOver(token, tokenFile, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Data, "data", "/var/lib/patchfit", "data directory")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8443", "address to listen on; plain HTTP only on loopback")
	f.StringVar(&c.URL, "url", "", "the server's address as clients see it (default: from --listen)")
	f.StringVar(&c.Origin, "origin", "patchfit.localhost", "name of the log: a DNS name, no port, no path, for ever")
	f.StringVar(&c.TLS.Certificate, "tls-certificate", "", "PEM certificate chain")
	f.StringVar(&c.TLS.Key, "tls-key", "", "PEM private key")
	f.StringVar(&tokenFile, "admin-token", "", "file (mode 0600) to write the admin token to, instead of printing it")
	f.StringVar(&c.Witnesses, "witnesses", "", "tlog-policy file of the witnesses that cosign the log's checkpoints")
	f.StringVar(&c.SitePolicy, "site-policy", "", "site policy file; it can only be stricter than the core rules")
	return cmd
}

func initialise(ctx context.Context, configPath string, c *serverconfig.Config, stderr io.Writer) (token string, err error) {
	if _, err := os.Lstat(configPath); err == nil {
		return "", exit.Hint(fmt.Errorf("%s exists already", configPath), "start with it: patchfitd serve --config "+configPath)
	}
	if err := c.Absolute(); err != nil {
		return "", err
	}
	if err := c.Check(); err != nil {
		return "", err
	}
	if err := emptyDir(c.Data); err != nil {
		return "", err
	}
	if err := makeKeys(filepath.Join(c.Data, keysDir)); err != nil {
		return "", err
	}
	if err := c.Write(configPath); err != nil {
		return "", err
	}
	h, err := openHouse(ctx, configPath, stderr)
	if err != nil {
		return "", err
	}
	token, err = h.makeAdmin(ctx, "admin", time.Time{})
	if err := errors.Join(err, h.writeTrustedRoot(), h.close()); err != nil {
		return "", err
	}
	fmt.Fprintf(stderr, "data in %s, configuration in %s\n", c.Data, configPath)
	return token, nil
}

// handOver gives the admin token to whoever runs init: it exists nowhere else.
func handOver(token, file string, stdout, stderr io.Writer) error {
	if file != "" {
		return keyfile.WriteNew(file, []byte(token+"\n"))
	}
	fmt.Fprintln(stderr, "The admin token below is shown once. Keep it; whoever has it administers this server.")
	_, err := fmt.Fprintln(stdout, token)
	return err
}

// emptyDir makes dir, durably, and refuses one that holds something.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("making the data directory durable: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the data directory: %w", err)
	}
	if len(entries) > 0 {
		return exit.Hint(fmt.Errorf("data directory %s is not empty", dir), "name an empty one with --data, or move this one away")
	}
	return nil
}

// newToken returns the text of an admin's bearer token: 260 random bits.
func newToken() string { return auth.TokenPrefix + rand.Text() + rand.Text() }
