package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/patchfit/patchfit/ledger"
)

// A Target is a Storage that a log can be moved to.
type Target interface {
	Storage
	// Integrated returns how many entries are there.
	Integrated(ctx context.Context) (uint64, error)
	// Adopt makes the next entry the one at cp's size, and then cp the
	// checkpoint: what is there is a log from now on.
	Adopt(ctx context.Context, cp *ledger.Checkpoint) error
}

// copiers is how many bundles of entries are on their way at once.
const copiers = 8

// Move copies the log in from, which nobody writes, to another storage. cp is
// its last checkpoint. Every index, leaf, tile and proof stays what it is: all
// files are compared, the leaves are hashed again where they came to, and a
// single difference is an error. Interrupted, it can be done again; the
// checkpoint is the last thing written, and without it there is no log.
func Move(ctx context.Context, from Storage, key ledger.LogKey, cp *ledger.Checkpoint, to Target, logger *slog.Logger) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	driver, err := to.Begin(ctx, Use{Lost: func(err error) { cancel(err) }, Logger: logger})
	if err != nil {
		return err
	}
	if err := vacant(ctx, to, cp); err != nil {
		return err
	}
	target, err := tessera.NewMigrationTarget(ctx, driver, tessera.NewMigrationOptions())
	if err != nil {
		return err
	}
	if n, err := to.Integrated(ctx); err != nil || n > cp.Size {
		return errors.Join(fmt.Errorf("what the log is moved to has %d entries of one, the log %d", n, cp.Size), err)
	}
	if err := target.Migrate(ctx, copiers, cp.Size, cp.Root, from.ReadEntryBundle); err != nil {
		return err
	}
	if err := compare(ctx, from, to, cp.Size); err != nil {
		return err
	}
	if err := to.Adopt(ctx, cp); err != nil {
		return err
	}
	if _, err := OpenFrozen(ctx, to, key, cp, nil); err != nil {
		return fmt.Errorf("reading the moved log: %w", err)
	}
	return nil
}

// vacant reports an error if there is another log than that of cp.
func vacant(ctx context.Context, to Target, cp *ledger.Checkpoint) error {
	there, err := to.ReadCheckpoint(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !bytes.Equal(there, cp.Raw):
		return fmt.Errorf("%w: there is a log already, with another checkpoint", ErrCorrupt)
	}
	return nil
}

// compare reads every file that a log of size entries has in both places.
func compare(ctx context.Context, a, b Storage, size uint64) error {
	for n := uint64(0); n*layout.EntryBundleWidth < size; n++ {
		width := layout.PartialTileSize(0, n, size)
		if err := same(func(s Storage) ([]byte, error) { return s.ReadEntryBundle(ctx, n, width) }, a, b); err != nil {
			return fmt.Errorf("entries from %d on: %w", n*layout.EntryBundleWidth, err)
		}
	}
	for level := uint64(0); size>>(level*layout.TileHeight) > 0; level++ {
		for n := uint64(0); n*layout.TileWidth < size>>(level*layout.TileHeight); n++ {
			width := layout.PartialTileSize(level, n, size)
			if err := same(func(s Storage) ([]byte, error) { return s.ReadTile(ctx, level, n, width) }, a, b); err != nil {
				return fmt.Errorf("tile %d of level %d: %w", n, level, err)
			}
		}
	}
	return nil
}

func same(read func(Storage) ([]byte, error), a, b Storage) error {
	x, err := read(a)
	if err != nil {
		return err
	}
	y, err := read(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return fmt.Errorf("%w: it was moved, and is not the same", ErrCorrupt)
	}
	return nil
}
