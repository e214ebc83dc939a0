package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/auth"
)

// adminTokenCommand makes another admin when the token of the last one is
// lost: then nobody is left whom the API would listen to, and whoever can open
// the data directory administers the server anyway. It is a fact in the
// journal like any other.
func adminTokenCommand(config *string) *cobra.Command {
	var name, output string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:     "admin-token",
		Short:   "make another admin and print their token (the server must be stopped)",
		Example: "  patchfitd admin-token --name alice --ttl 24h -o admin-token",
		Long: `Make another admin of the whole server and print their bearer token, once. For
when the first admin's token is lost or known to others; revoke the old one with
it: patchfit robot list, patchfit robot revoke. Needs the data directory to
itself, so stop the server first.

An admin who is a person is better known by a key: patchfit admin principal, then
patchfit admin grant --role admin --product '*'.`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" {
				if _, err := os.Lstat(output); err == nil {
					return exit.BadUsage(fmt.Errorf("%s exists already", output), "name another file: nothing is overwritten")
				}
			}
			if ttl < 0 || ttl%time.Second != 0 {
				return exit.BadUsage(fmt.Errorf("--ttl %s is no time in whole seconds", ttl), "as in: --ttl 24h")
			}
			token, err := anotherAdmin(cmd.Context(), *config, name, ttl, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return handOver(token, output, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "admin", "a label for people")
	f.DurationVar(&ttl, "ttl", 0, "how long the token is good for (default: for ever)")
	f.StringVarP(&output, "output", "o", "", "file (mode 0600) to write the token to, instead of printing it")
	return cmd
}

func anotherAdmin(ctx context.Context, config, name string, ttl time.Duration, stderr io.Writer) (token string, err error) {
	h, err := openHouse(ctx, config, stderr)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	end := time.Time{}
	if ttl > 0 {
		end = time.Now().Add(ttl).UTC().Truncate(time.Second)
	}
	return h.makeAdmin(ctx, name, end)
}

// makeAdmin journals an admin who proves themselves with a bearer token, until
// end if there is one. The record says that they added themselves: nobody
// else's word was needed.
func (h *house) makeAdmin(ctx context.Context, name string, end time.Time) (token string, err error) {
	token, id := newToken(), uuid.NewString()
	facts := []struct {
		kind ledger.Kind
		body any
	}{
		{ledger.KindPrincipal, ledger.PrincipalAdded{Principal: id, Name: name, TokenMAC: auth.TokenMAC(h.keys.pepper, token), By: id, Expires: end}},
		{ledger.KindGrant, ledger.Granted{Principal: id, Product: "*", Role: "admin", By: id}},
	}
	for _, f := range facts {
		if _, err := h.journal.Append(ctx, f.kind, f.body); err != nil {
			return "", fmt.Errorf("recording the admin: %w", err)
		}
	}
	return token, nil
}
