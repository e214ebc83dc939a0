package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/keyfile"
)

// The key and chain that are to replace those of the timestamp authority.
const (
	keyNextTSA   = "timestamps-next.pem"
	chainNextTSA = "timestamps-chain-next.pem"
)

func renewCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "renew-timestamps",
		Short: "make the key and chain that are to replace those of the timestamp authority",
		Long: `Make the next key and certificate chain of the timestamp authority, and write
DATA/trusted_root.json with the chain in use, those before it and the next one.
Nothing is replaced yet: docs/keys.md says how, once trust policies name the
new chain. The server has to be stopped.`,
		Example: "  patchfitd renew-timestamps --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return renewTimestamps(*config, cmd.OutOrStdout())
		},
	}
}

func renewTimestamps(configPath string, stdout io.Writer) (err error) {
	h := &house{}
	if err := h.readConfig(configPath); err != nil {
		return err
	}
	defer h.close()
	if err := h.lock(); err != nil {
		return err
	}
	if err := h.readShards(); err != nil {
		return err
	}
	if h.keys, err = loadKeys(h.path(keysDir), h.logKeyFile()); err != nil {
		return err
	}
	dir := h.path(keysDir)
	if err := unlessThere(dir, keyNextTSA, keyfile.CreateECDSA); err != nil {
		return err
	}
	if err := unlessThere(dir, chainNextTSA, func(p string) error { return makeChain(filepath.Join(dir, keyNextTSA), p) }); err != nil {
		return err
	}
	if err := h.writeTrustedRoot(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s names the next chain too\n", h.path(trustedRootFile))
	return nil
}

// began returns when the first chain of the timestamp authority began, and with
// it the log: what is signed names it, so it does not change with the chain.
func (h *house) began() time.Time {
	first := h.keys.tsaChain[0].NotBefore
	chains, err := loadChains(h.path(keysDir))
	if err != nil {
		return first.UTC().Truncate(time.Second)
	}
	for _, chain := range chains {
		if chain[0].NotBefore.Before(first) {
			first = chain[0].NotBefore
		}
	}
	return first.UTC().Truncate(time.Second)
}
