package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/accounting"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/account"
	"github.com/patchfit/patchfit/ledger/client"
)

func (a verbs) verifyCommand() *cobra.Command {
	var trustedRoot string
	var compare bool
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "read the whole log, first to last entry, and check that it is the one you saw before",
		Example: "  patchfit audit verify\n  patchfit audit verify --index",
		Long: `Read every entry of the log, compute its tree again, check the signature of its
checkpoint, and check that it continues the log as it was at your last visit,
which is remembered in the configuration directory. Logs that were frozen when
another took over are read the same way, and have to be as they were.

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

	Frozen []FrozenLog     `json:"frozen,omitzero"` // logs that took entries before, oldest first
	Absent []string        `json:"absent,omitzero"` // logs of the trusted root that this server does not show
	Index  *account.Result `json:"index,omitzero"`  // with --index
}

// A FrozenLog is what was found of a log that takes no entries any more.
type FrozenLog struct {
	Origin  string `json:"origin"`
	Size    int64  `json:"size"`
	Root    string `json:"root"` // hex
	Before  *int64 `json:"before,omitzero"`
	Entries int64  `json:"entries"`
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
	trusted, err := trustOf(ctx, s, path)
	if err != nil {
		return err
	}
	log, err := client.New(s.Client.Server(), s.Client.HTTP())
	if err != nil {
		return err
	}
	logs, err := log.Shards(ctx, trusted.root)
	if err != nil {
		return err
	}
	if err := shown(logs, trusted.root); err != nil {
		return err
	}
	memory, err := memoryOf(s.Client.Server())
	if err != nil {
		return err
	}
	if err := memory.missing(logs); err != nil {
		return err
	}
	progress := term.NewProgress(a.Stderr)
	visits, err := visitAll(ctx, logs, memory, progress)
	if err != nil {
		return err
	}
	v := answerOf(s.Client.Server(), logs, visits)
	if compare {
		if v.Index, err = accounting.Compare(ctx, s.Client, walked(visits), trusted.journals, progress); err != nil {
			return err
		}
	}
	if err := a.audited(v, visits); err != nil || v.Index == nil || v.Index.Wrong == 0 {
		return err
	}
	return exit.With(exit.Unproven, fmt.Sprintf("the server's index is not what its journal and log say, in %d places", v.Index.Wrong), "keep the answer; whoever runs the server makes the index again: patchfitd reindex")
}

// shown reports an error where the server shows no log that is trusted to take
// entries.
func shown(logs *client.Shards, trustedRoot []byte) error {
	if logs.Current != nil {
		return nil
	}
	keys, err := ledger.LogKeys(trustedRoot)
	if err != nil {
		return err
	}
	if logs.Raw != nil {
		_, err = ledger.OpenCheckpoint(logs.Raw, keys)
		return err
	}
	return exit.Hint(errors.New("the server shows no checkpoint of its log"), "a log that has just begun has one after its first entry: try again in a minute")
}

// A visited is a log that was read.
type visited struct {
	client.Shard
	seen    *client.Checkpoint // at the last visit; nil: this is the first
	now     *client.Checkpoint
	entries int64
}

// visitAll reads every log from its first entry to its last, and remembers each.
func visitAll(ctx context.Context, logs *client.Shards, m *memory, progress *term.Progress) (all []visited, err error) {
	defer progress.Clear()
	for _, l := range logs.Shown() {
		seen, err := m.last(l.Origin)
		if err != nil {
			return nil, err
		}
		v := visited{Shard: l, seen: seen.checkpoint()}
		v.now, err = l.Verify(ctx, v.seen, func(uint64, []byte) error {
			if v.entries++; v.entries%256 == 0 {
				progress.Step("log %s: %d entries read", l.Origin, v.entries)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		frozen := l.Origin != logs.Current.Origin
		if seen != nil && seen.Frozen && (!frozen || v.seen.Size != v.now.Size) {
			return nil, fmt.Errorf("%w: log %s had ended with %d entries, and goes on: it has %d", ledger.ErrForked, l.Origin, v.seen.Size, v.now.Size)
		}
		if err := m.remember(v.now, frozen); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func walked(visits []visited) (all []account.Walked) {
	for _, v := range visits {
		all = append(all, account.Walked{Key: v.Keys[0], Checkpoint: v.now, Log: v.Log})
	}
	return all
}

func answerOf(server string, logs *client.Shards, visits []visited) *LogAnswer {
	last := len(visits) - 1
	cp := visits[last].now
	a := &LogAnswer{
		SchemaVersion: 1, Server: server, Origin: cp.Origin, Size: int64(cp.Size), Root: hex.EncodeToString(cp.Root),
		Before: visits[last].before(), Entries: visits[last].entries, Verified: true, Criteria: auditCriteria(),
	}
	for _, v := range visits[:last] {
		a.Frozen = append(a.Frozen, FrozenLog{v.Origin, int64(v.now.Size), hex.EncodeToString(v.now.Root), v.before(), v.entries})
	}
	for _, l := range logs.Absent {
		a.Absent = append(a.Absent, l.Origin)
	}
	return a
}

func (v *visited) before() *int64 {
	if v.seen == nil {
		return nil
	}
	before := int64(v.seen.Size)
	return &before
}

func (a verbs) audited(v *LogAnswer, visits []visited) error {
	return a.Print(v, func(w io.Writer) {
		m := term.Marks(w)
		fmt.Fprintf(w, "Log %s of %s\n", v.Origin, v.Server)
		for i, c := range v.Criteria {
			if i == len(v.Criteria)-1 && v.Before == nil {
				fmt.Fprintf(w, "%s this is your first visit; the next one starts from here\n", m.Bang)
				continue
			}
			fmt.Fprintf(w, "%s %s\n", m.Tick, c)
		}
		fmt.Fprintf(w, "%d entries, root %s\n", v.Size, v.Root)
		for _, f := range v.Frozen {
			since := "as at your last visit"
			if f.Before == nil {
				since = "read for the first time"
			}
			fmt.Fprintf(w, "%s log %s, which is frozen, holds what its last checkpoint says, %s: %d entries, root %s\n", m.Tick, f.Origin, since, f.Size, f.Root)
		}
		for _, origin := range v.Absent {
			fmt.Fprintf(w, "%s log %s is trusted, and not shown by this server: another's, or not begun\n", m.Bang, origin)
		}
		if v.Index != nil {
			accounting.Text(w, v.Index)
		}
	})
}

// A trusted is what logs are held to.
type trusted struct {
	root     []byte          // trusted_root.json
	journals []attest.Digest // keys of journals; nil: nobody named any
}

// trustOf returns what to go by: the pinned trust policy, or a trusted root in
// its place.
func trustOf(ctx context.Context, s *shell.Session, path string) (*trusted, error) {
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the trusted root: %w", err)
		}
		return &trusted{root: b}, nil
	}
	p, err := s.PinnedPolicy(ctx)
	if err != nil {
		return nil, err
	}
	journals, err := p.JournalKeys()
	return &trusted{root: p.TrustedRoot, journals: journals}, err
}
