package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/ledger/index"
)

// reindexCommand builds the index again. Nothing is lost with an index: it is a
// projection of journal, log and registry.
func reindexCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:     "reindex",
		Short:   "build the query index again from journal, log and registry (the server must be stopped)",
		Example: "  patchfitd reindex --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := openHouse(cmd.Context(), *config, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer h.close()
			if err := h.journal.Verify(cmd.Context()); err != nil {
				return fmt.Errorf("verifying the journal: %w", err)
			}
			if err := index.Rebuild(cmd.Context(), filepath.Join(h.config.Data, indexFile), h.source()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "index built again from %d journal records\n", h.journal.Last())
			return nil
		},
	}
}
