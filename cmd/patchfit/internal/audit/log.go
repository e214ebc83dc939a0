package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/accounting"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/client"
)

// A Visit is what an auditor remembers of a log.
type Visit struct {
	SchemaVersion int    `json:"schemaVersion"`
	Origin        string `json:"origin"`
	Size          int64  `json:"size"`
	Root          string `json:"root"` // hex
	Checkpoint    []byte `json:"checkpoint"`
}

func (a verbs) verifyCommand() *cobra.Command {
	var trustedRoot string
	var compare bool
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "read the whole log, first to last entry, and check that it is the one you saw before",
		Example: "  patchfit audit verify\n  patchfit audit verify --index",
		Long: `Read every entry of the log, compute its tree again, check the signature of its
checkpoint, and check that it continues the log as it was at your last visit,
which is remembered in the configuration directory.

The log's key is the one in the trust policy pinned at login, or in the file
--trusted-root names.

With --index the server's query index is compared with the log, leaf by leaf: a
row that was deleted, changed or added in its database is found and named, and
entries that were logged and never admitted are listed by key. That takes an
auditor of the whole server.`,
		Args: shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.auditLog(cmd.Context(), trustedRoot, compare) },
	}
	cmd.Flags().BoolVar(&compare, "index", false, "compare the server's index with the log, too")
	cmd.Flags().StringVar(&trustedRoot, "trusted-root", "", "trusted_root.json with the log's key")
	return cmd
}

type LogAnswer struct {
	SchemaVersion int      `json:"schemaVersion"`
	Server        string   `json:"server"`
	Origin        string   `json:"origin"`
	Size          int64    `json:"size"`
	Root          string   `json:"root"`            // hex
	Before        *int64   `json:"before,omitzero"` // size at the last visit; absent: this is the first
	Entries       int64    `json:"entries"`         // read and hashed again
	Verified      bool     `json:"verified"`        // of the log: always true, anything else is an error
	Criteria      []string `json:"criteria"`

	Index *account.Result `json:"index,omitzero"` // with --index
}

func auditCriteria() []string {
	return []string{
		"the checkpoint is signed by a log that the trust policy names",
		"every entry, hashed again from first to last, makes the checkpoint's root",
		"every tile of hashes is what the entries make",
		"the log continues the one seen at the last visit",
	}
}

func (a verbs) auditLog(ctx context.Context, path string, compare bool) error {
	s, err := a.Connect("")
	if err != nil {
		return err
	}
	trustedRoot, err := trustedRootOf(ctx, s, path)
	if err != nil {
		return err
	}
	log, err := client.New(s.Client.Server(), s.Client.HTTP())
	if err != nil {
		return err
	}
	memory, err := visitFile(s.Client.Server())
	if err != nil {
		return err
	}
	seen, err := lastVisit(memory)
	if err != nil {
		return err
	}
	progress, entries := term.NewProgress(a.Stderr), int64(0)
	cp, err := log.VerifyLog(ctx, trustedRoot, seen, func(uint64, []byte) error {
		entries++
		if entries%256 == 0 {
			progress.Step("log: %d entries read", entries)
		}
		return nil
	})
	progress.Clear()
	if err != nil {
		return err
	}
	if err := rememberVisit(memory, cp); err != nil {
		return err
	}
	var result *account.Result
	if compare {
		result, err = accounting.Compare(ctx, s.Client, log, cp, trustedRoot, func(index uint64) {
			if index%256 == 0 {
				progress.Step("index: %d of %d entries compared", index, cp.Size)
			}
		})
		progress.Clear()
		if err != nil {
			return err
		}
	}
	if err := a.audited(s.Client.Server(), cp, seen, entries, result); err != nil || result == nil || result.Wrong == 0 {
		return err
	}
	return exit.With(exit.Unproven, fmt.Sprintf("the server's index is not what its journal and log say, in %d places", result.Wrong), "keep the answer; whoever runs the server makes the index again: patchfitd reindex")
}

func (a verbs) audited(server string, cp, seen *client.Checkpoint, entries int64, result *account.Result) error {
	v := LogAnswer{
		SchemaVersion: 1, Server: server, Origin: cp.Origin, Size: int64(cp.Size), Root: hex.EncodeToString(cp.Root),
		Entries: entries, Verified: true, Criteria: auditCriteria(), Index: result,
	}
	if seen != nil {
		before := int64(seen.Size)
		v.Before = &before
	}
	return a.Print(v, func(w io.Writer) {
		m := term.Marks(w)
		fmt.Fprintf(w, "Log %s of %s\n", v.Origin, server)
		for i, c := range v.Criteria {
			if i == len(v.Criteria)-1 && seen == nil {
				fmt.Fprintf(w, "%s this is your first visit; the next one starts from here\n", m.Bang)
				continue
			}
			fmt.Fprintf(w, "%s %s\n", m.Tick, c)
		}
		fmt.Fprintf(w, "%d entries, root %s\n", v.Size, v.Root)
		if result != nil {
			accounting.Text(w, result)
		}
	})
}

// trustedRoot returns the log keys to go by.
func trustedRootOf(ctx context.Context, s *shell.Session, path string) ([]byte, error) {
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the trusted root: %w", err)
		}
		return b, nil
	}
	p, err := s.PinnedPolicy(ctx)
	if err != nil {
		return nil, err
	}
	return p.TrustedRoot, nil
}

// visitFile returns where the last visit to a server's log is remembered.
func visitFile(server string) (string, error) {
	dir, err := config.Dir()
	if err != nil {
		return "", err
	}
	name := strings.ReplaceAll(config.Address(server), ":", "_") + ".json"
	return filepath.Join(dir, "checkpoints", name), nil
}

// lastVisit returns the checkpoint of the last visit, nil where there was none.
func lastVisit(path string) (*client.Checkpoint, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last visit: %w", err)
	}
	var v Visit
	if err := strictjson.Unmarshal(b, attest.MaxStatement, &v); err != nil {
		return nil, fmt.Errorf("reading the last visit, %s: %w", path, err)
	}
	root, err := hex.DecodeString(v.Root)
	if err != nil || len(root) != 32 || v.Size < 0 {
		return nil, fmt.Errorf("reading the last visit, %s: no size and root", path)
	}
	return &client.Checkpoint{Origin: v.Origin, Size: uint64(v.Size), Root: root, Raw: v.Checkpoint}, nil
}

func rememberVisit(path string, cp *client.Checkpoint) error {
	b, err := strictjson.Canonical(Visit{1, cp.Origin, int64(cp.Size), hex.EncodeToString(cp.Root), cp.Raw})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("remembering this visit: %w", err)
	}
	if err := shell.ReplaceFile(path, append(b, '\n')); err != nil {
		return fmt.Errorf("remembering this visit: %w", err)
	}
	return nil
}
