package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger/shards"
	"github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tlog/s3mysql"
	"github.com/patchfit/patchfit/registry/content/s3"
)

// logStorage is where the files of a log are.
func (h *house) logStorage(s *shards.Shard) (tlog.Storage, error) {
	if s.Kept == "" {
		return tlog.Disk(h.path(s.Dir)), nil
	}
	if s.Kept != serverconfig.BucketAndDatabase || h.config.Log.Kind != s.Kept {
		return nil, exit.Hint(fmt.Errorf("log %s is kept in %q, which the configuration does not say where to find", s.Origin, s.Kept), "say log: {kind: "+s.Kept+", …} in the configuration")
	}
	return h.logBucket(s.Origin)
}

// logBucket is the configured bucket and database. A bucket can have several
// logs, each below its origin.
func (h *house) logBucket(origin string) (*s3mysql.Storage, error) {
	c := h.config.Log.S3
	const check = "check log in the configuration"
	settings, err := s3.Config{
		Endpoint: c.Endpoint, Region: c.Region, Bucket: c.Bucket, Prefix: c.Prefix, VirtualHost: c.VirtualHost,
		AccessKeyFile: c.AccessKeyFile, SecretKeyFile: c.SecretKeyFile, CAFile: c.CAFile,
	}.Settings(nil)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("opening the log's bucket: %w", err), check)
	}
	dsn, err := keyfile.LoadLine(h.config.Log.DatabaseFile)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("reading the address of the log's database: %w", err), check)
	}
	s, err := s3mysql.New(s3mysql.Config{S3: settings, Bucket: c.Bucket, Prefix: path.Join(c.Prefix, origin), DSN: dsn})
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("opening the log's bucket and database: %w", err), check)
	}
	return s, nil
}

// settle says where the current log is kept, once: a new one where the
// configuration says, another where it is.
func (h *house) settle() error {
	all, err := h.logs()
	if err != nil {
		return err
	}
	wanted, current := h.kind(), all.Current()
	if wanted == current.Kept || h.next != "" {
		return nil
	}
	_, err = os.Stat(filepath.Join(h.path(current.Dir), "checkpoint"))
	if fresh := errors.Is(err, fs.ErrNotExist); current.Kept == "" && fresh {
		if wanted == shards.External {
			if *current, err = h.external(*current); err != nil {
				return err
			}
		}
		current.Kept, h.shards = wanted, all
		return all.Store(h.config.Data)
	}
	hint := "set it back, or take a log from the disk there with: patchfitd log move"
	if wanted == shards.External || current.Kept == shards.External {
		hint = "set it back, or begin another log there, of another origin, with: patchfitd log rotate"
	}
	return exit.Hint(fmt.Errorf("log.kind of the configuration is not where the log %s is", current.Origin), hint)
}

// kind is where the configuration has the log: "" for the disk.
func (h *house) kind() string {
	if h.config.Log.Kind == serverconfig.Disk {
		return ""
	}
	return h.config.Log.Kind
}

func moveCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "move",
		Short: "take the log from the disk to the configured bucket and database (the server must be stopped)",
		Long: `Copy the log from the disk to where the configuration has it, compare every file,
and hash every entry again there; after that, and not before, the log is there.
Indexes and proofs stay what they are. Interrupted, it can be run again. The files
on the disk stay, for you to remove.`,
		Example: "  patchfitd log move --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return move(cmd.Context(), *config, cmd.ErrOrStderr())
		},
	}
}

// move opens the house as it was, so that the log ends with everything in it,
// and then copies the log.
func move(ctx context.Context, configPath string, stderr io.Writer) error {
	h, err := openOne(ctx, &house{moving: true}, configPath, stderr)
	if err != nil {
		return err
	}
	err = h.move(ctx)
	if err := errors.Join(err, h.close()); err != nil {
		return fmt.Errorf("moving the log: %w", err)
	}
	fmt.Fprintf(stderr, "log %s is in bucket %s now; its files in the data directory are not read any more\n", h.config.Origin, h.config.Log.S3.Bucket)
	return nil
}

func (h *house) move(ctx context.Context) error {
	all, err := h.logs()
	if err != nil {
		return err
	}
	current := all.Current()
	if h.kind() != serverconfig.BucketAndDatabase || current.Kept != "" {
		return exit.Hint(errors.New("the log is where the configuration has it"), "say log: {kind: s3+mysql, …} first; logs are moved from the disk alone")
	}
	if err := h.journal.Seal(ctx); err != nil {
		return fmt.Errorf("sealing the journal: %w", err)
	}
	if err := h.log.Close(ctx); err != nil {
		return err
	}
	cp, err := h.log.Checkpoint(ctx)
	if err != nil {
		return err
	}
	key, err := current.LogKey()
	if err != nil {
		return err
	}
	to, err := h.logBucket(current.Origin)
	if err != nil {
		return err
	}
	if err := tlog.Move(ctx, tlog.Disk(h.path(current.Dir)), key, cp, to, h.logger); err != nil {
		return err
	}
	current.Kept = h.kind()
	return all.Store(h.config.Data)
}
