package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// OpenFrozen opens the log in s to be read only: it ended with the checkpoint
// final, and another log takes its entries. Its leaves are hashed again, as when
// any log opens; one that is not what final says, or went on after it, is not
// opened. Add answers for what is in it, and says ErrClosed to everything else.
// It takes no private key, and changes no file.
func OpenFrozen(ctx context.Context, s Storage, key ledger.LogKey, final *ledger.Checkpoint, o *Options) (*Log, error) {
	opts := o.orDefaults()
	l := &Log{opts: opts, files: s, flying: make(map[leafHash]*flight), closed: true}
	l.tiles = newTiles(l.files)
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	l.cancel(ErrClosed)
	var err error
	if l.id, err = key.ID(); err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	l.guard = readGuard(l.files)
	l.latest = newLatest([]ledger.LogKey{key}, l.files)
	cp, err := l.latest.read(ctx)
	if errors.Is(err, backend.ErrNoCheckpoint) {
		return nil, fmt.Errorf("%w: log %s has no checkpoint any more", ErrCorrupt, key.Origin)
	}
	if err != nil {
		return nil, err
	}
	if cp.Size != final.Size || !bytes.Equal(cp.Root, final.Root) {
		return nil, fmt.Errorf("%w: log %s was frozen at %d entries with the root %x, its checkpoint has %d and %x", ErrCorrupt, key.Origin, final.Size, final.Root, cp.Size, cp.Root)
	}
	if err := l.guard.check(ctx, cp); err != nil {
		return nil, err
	}
	l.guard.close()
	l.door = Handler(l, opts.Logger)
	return l, nil
}
