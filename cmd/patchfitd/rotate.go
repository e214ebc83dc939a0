package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/shards"
)

// logCommand has what is done to the log as a whole.
func logCommand(config *string) *cobra.Command {
	return group(&cobra.Command{
		Use:   "log",
		Short: "prepare the next log, freeze the one there is, or move it",
		Long: `A server's log can end and another, of another origin and key, take its entries:
because the key has to change, or because the log has grown enough. The old one
stays, frozen: evidence in it verifies as before, and it is read under
/shards/ORIGIN. docs/log-backends.md has the whole way.`,
	}, nextCommand(config), rotateCommand(config), moveCommand(config))
}

func nextCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "next ORIGIN",
		Short: "make the key of the next log, and print the trusted root that knows it",
		Long: `Make the key of the log that will take over, and print a trusted_root.json that
names it beside all others: for the trust policy, which is signed and pushed
before the log changes. The server may run. Asked again, it prints the same.`,
		Example: "  patchfitd log next 2027.log.example.org > trusted_root.json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && ledger.CheckOrigin(args[0]) == nil {
				return nil
			}
			return exit.BadUsage(errors.New("want the origin of the next log: a host name in lower case, no port, no path"), "as in: patchfitd log next 2027.log.example.org")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return prepareNext(*config, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func rotateCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "freeze the log and begin that of the configured origin (the server must be stopped)",
		Long: `Seal the journal, freeze the log at its last checkpoint, and let the log of the
configuration's origin, which is another one, take the entries from now on.
Evidence in the new log counts where the trust policy knows it: see patchfitd
log next. Interrupted, it can be run again.`,
		Example: "  patchfitd log rotate --config /etc/patchfit/patchfitd.yaml",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return rotate(cmd.Context(), *config, cmd.ErrOrStderr())
		},
	}
}

// prepareNext reads beside a server that may run, and writes nothing that one
// reads.
func prepareNext(configPath, origin string, stdout, stderr io.Writer) error {
	h := &house{}
	if err := h.readConfig(configPath); err != nil {
		return err
	}
	if err := h.readShards(); err != nil {
		return err
	}
	var err error
	if h.keys, err = loadKeys(h.path(keysDir), h.logKeyFile()); err != nil {
		return err
	}
	next, err := h.nextShard(origin)
	if err != nil {
		return err
	}
	root, err := h.trustedRoot(*next)
	if err != nil {
		return fmt.Errorf("making the trusted root: %w", err)
	}
	fmt.Fprintf(stderr, "next log %s; have a trust policy with this trusted root signed and pushed, set origin: %s, stop the server, and run: patchfitd log rotate\n", origin, origin)
	_, err = stdout.Write(append(root, '\n'))
	return err
}

// nextShard is the shard that was prepared, or is now.
func (h *house) nextShard(origin string) (*shards.Shard, error) {
	all, err := h.logs()
	if err != nil {
		return nil, err
	}
	for _, s := range all.Shards {
		if s.Origin == origin {
			return nil, exit.Hint(fmt.Errorf("log %s is one of this server's already", origin), "an origin is one log, for ever: take another")
		}
	}
	next, err := shards.Next(h.config.Data)
	if err != nil {
		return nil, err
	}
	if next != nil && next.Origin != origin {
		return nil, exit.Hint(fmt.Errorf("the next log is prepared, and called %s", next.Origin), "use that origin, or remove next-shard.json in the data directory if nobody was told of it")
	}
	if h.kind() == serverconfig.ExternalRekor {
		return h.externalShard(origin, next)
	}
	if next == nil {
		return h.prepareShard(origin)
	}
	key, err := h.shardKey(next.KeyFile)
	if err != nil {
		return nil, err
	}
	if of, err := next.LogKey(); err != nil || !key.Public().(ed25519.PublicKey).Equal(of.Key) {
		return nil, errors.Join(fmt.Errorf("key file %s is not the key that was prepared for %s", next.KeyFile, origin), err)
	}
	return next, nil
}

func (h *house) prepareShard(origin string) (*shards.Shard, error) {
	file := shards.KeyFile(origin)
	if err := unlessThere(h.path(keysDir), file, keyfile.CreateEd25519); err != nil {
		return nil, err
	}
	key, err := h.shardKey(file)
	if err != nil {
		return nil, err
	}
	all, err := h.logs()
	if err != nil {
		return nil, err
	}
	next, err := shards.New(origin, key.Public(), startAfter(all))
	if err != nil {
		return nil, err
	}
	if err := next.Prepare(h.config.Data); !errors.Is(err, fs.ErrExist) {
		return &next, err
	}
	return h.nextShard(origin) // somebody else was first
}

// startAfter is when a log begins that comes after all others. Logs are read in
// the order of their starts, so no two have one.
func startAfter(all *shards.List) time.Time {
	start := time.Now()
	if earliest := all.Current().Start.Add(time.Second); start.Before(earliest) {
		return earliest
	}
	return start
}

func (h *house) shardKey(file string) (ed25519.PrivateKey, error) {
	return loadLogKey(filepath.Join(h.path(keysDir), file))
}

// rotate freezes the log. Everything before the new list is stored can be done
// again; storing it is the point of no return, and what comes after is done
// again by the next run or start.
func rotate(ctx context.Context, configPath string, stderr io.Writer) error {
	h, err := openTurning(ctx, configPath, stderr)
	if err != nil {
		return err
	}
	if h.next == "" {
		err := errors.Join(h.writeTrustedRoot(), h.close())
		return errors.Join(err, exit.Hint(fmt.Errorf("log %s takes the entries already", h.config.Origin), "to begin another, set origin in the configuration to its name first"))
	}
	old, retired := h.config.Origin, h.logKeyFile()
	list, err := h.freeze(ctx)
	if err == nil {
		err = list.Store(h.config.Data)
	}
	if err := errors.Join(err, h.close()); err != nil {
		return fmt.Errorf("freezing log %s: %w", old, err)
	}
	if list.Current().Kept == serverconfig.BucketAndDatabase && list.Frozen()[len(list.Frozen())-1].Kept == serverconfig.BucketAndDatabase {
		fmt.Fprintf(stderr, "log %s is frozen; name an empty database in log.databaseFile, and start the server: log %s takes the entries then. keys/%s signs nothing any more: move it away from this machine, or destroy it\n", old, list.Current().Origin, retired)
		return nil
	}
	// The new log is opened as the server will, so that what it needs is there:
	// see [house.begun].
	if h, err = openHouse(ctx, configPath, stderr); err != nil {
		return err
	}
	if err := h.close(); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "log %s is frozen, log %s takes the entries\n", old, h.config.Origin)
	if retired != "" {
		fmt.Fprintf(stderr, "keys/%s signs nothing any more: move it away from this machine, or destroy it\n", retired)
	}
	return nil
}

// begun does what is left to do once a log has begun that was prepared. The log
// may have begun with a rotation that was interrupted after that; what is
// prepared for the next one stays.
func (h *house) begun() error {
	next, err := shards.Next(h.config.Data)
	if err != nil || next == nil || next.Origin != h.config.Origin {
		return err
	}
	if err := h.writeTrustedRoot(); err != nil {
		return err
	}
	return shards.Begun(h.config.Data)
}

// freeze ends the log with everything sealed in it and returns the list that
// says so.
func (h *house) freeze(ctx context.Context) (*shards.List, error) {
	next, err := h.nextShard(h.next)
	if err != nil {
		return nil, err
	}
	all, err := h.logs()
	if err != nil {
		return nil, err
	}
	// A log that somebody else keeps takes nothing more; the next one takes the
	// seals that are left.
	if all.Current().Kept != shards.External {
		if err := h.journal.Seal(ctx); err != nil {
			return nil, fmt.Errorf("sealing the journal: %w", err)
		}
	}
	if err := h.log.Close(ctx); err != nil {
		return nil, err
	}
	final, err := h.log.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	next.Kept = h.kind()
	list, err := all.Freeze(final, *next)
	if err != nil {
		return nil, err
	}
	last := &list.Frozen()[len(list.Frozen())-1]
	_, err = h.openShard(ctx, last)
	return list, err
}
