// Package tlog keeps a transparency log on a local disk, in the process: a
// Merkle tree of leaves that can be appended to and never changed (C2SP
// tlog-tiles), kept by Tessera, with the write API of Rekor v2.
//
// How an entry gets in, and what a crash leaves behind at each step:
//
//  1. [Log.Add] checks the signature and asks whether the key may write here.
//     Nothing is kept of what is refused.
//  2. A leaf that is in the log already is answered from there. Every leaf is
//     known by its hash: the hashes are read back from the leaves at [Open], so
//     that this also holds after a restart.
//  3. Tessera collects leaves for some milliseconds, writes them and the tree
//     they make, and syncs both. A crash before this ends loses leaves nobody
//     was told about.
//  4. The tree is signed. The signer is ours: it reads the new leaves back from
//     the disk, adds them to the tree it has computed itself since the first
//     leaf, and refuses to sign any other root. A tree that was damaged on disk
//     stops the log here, with [ErrCorrupt]; it never forks it.
//  5. The signed checkpoint is published. A crash before leaves an entry that
//     is in the tree and not yet in a checkpoint; Open publishes it.
//  6. Add builds the proof from the published tree, checks it, and returns.
//
// The log knows who may write, not what is said: it sees hashes of envelopes.
package tlog

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// Reasons why an entry is not taken, or a log not served: see [backend].
var (
	ErrStranger = backend.ErrStranger
	ErrBadEntry = backend.ErrBadEntry
	ErrBusy     = backend.ErrBusy
	ErrCorrupt  = backend.ErrCorrupt
	ErrClosed   = backend.ErrClosed
)

// Defaults of Options, and limits.
const (
	DefaultBatchAge           = 20 * time.Millisecond
	DefaultCheckpointInterval = 100 * time.Millisecond
	DefaultWitnessedInterval  = time.Second
	witnessTimeout            = 10 * time.Second
	DefaultWaiting            = 4096
	batchSize                 = 256
)

// Options are what a Log can do without. The zero Options are right, but let
// nobody write.
type Options struct {
	// Allowed reports whether a key, by the sha256 of its SPKI, may write. It
	// is called concurrently. Nil: nobody may.
	Allowed func(key attest.Digest) bool
	// Certified returns nil where a certificate may write now, or why it may
	// not. It is called concurrently. Nil: none may.
	Certified func(*attest.Certificate) error
	// Logger takes what has no caller. Nil: nothing is logged.
	Logger *slog.Logger
	// BatchAge is how long a leaf waits for company. Zero: DefaultBatchAge.
	BatchAge time.Duration
	// Waiting is how many entries may be on their way at once; one more is
	// ErrBusy. Zero: DefaultWaiting.
	Waiting int
	// CheckpointInterval is the least time between two checkpoints, at least
	// 100 ms. Zero: DefaultCheckpointInterval, or DefaultWitnessedInterval
	// where witnesses are asked.
	CheckpointInterval time.Duration
	// Witnesses is a C2SP tlog-policy whose witnesses, each with a URL, are asked
	// to cosign every checkpoint. One that too few cosigned is not published, so
	// that no entry is answered for whose proof would be refused. Nil: nobody is
	// asked.
	Witnesses []byte
}

func (o *Options) orDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.BatchAge <= 0 {
		d.BatchAge = DefaultBatchAge
	}
	if d.Waiting <= 0 {
		d.Waiting = DefaultWaiting
	}
	if d.CheckpointInterval <= 0 {
		d.CheckpointInterval = DefaultCheckpointInterval
		if d.Witnesses != nil {
			d.CheckpointInterval = DefaultWitnessedInterval
		}
	}
	return d
}

// A Log is an open log, as [backend.Log] has it.
type Log struct {
	opts   Options
	id     []byte // the log's id, 32 bytes
	files  Storage
	tiles  *tiles
	guard  *guard
	latest *latest
	append tessera.AddFn
	door   http.Handler

	witnesses *witnesses // nil: nobody is asked

	ctx      context.Context // the log's life; its cause says why it ended
	cancel   context.CancelCauseFunc
	done     sync.WaitGroup // all that runs in the background
	shutdown func(context.Context) error

	mu     sync.Mutex // of what follows
	flying map[leafHash]*flight
	closed bool
}

// Open opens the log in the directory dir, or makes an empty one. origin is
// its name, a host name, for ever; signer signs its checkpoints. One process
// at a time may have a log open, which is for the caller to see to. ctx bounds
// the opening only.
//
// A log whose leaves are not what its last checkpoint says, or whose checkpoint
// somebody else signed, is not opened.
func Open(ctx context.Context, dir, origin string, signer ed25519.PrivateKey, o *Options) (*Log, error) {
	return OpenOn(ctx, Disk(dir), origin, signer, o)
}

// OpenOn is [Open] for a log whose files lie in s.
func OpenOn(ctx context.Context, s Storage, origin string, signer ed25519.PrivateKey, o *Options) (*Log, error) {
	if err := ledger.CheckOrigin(origin); err != nil {
		return nil, err
	}
	if len(signer) != ed25519.PrivateKeySize {
		return nil, errors.New("key of the log is not an Ed25519 key")
	}
	opts := o.orDefaults()
	opts.CheckpointInterval = max(opts.CheckpointInterval, s.Interval())
	l := &Log{opts: opts, files: s, flying: make(map[leafHash]*flight)}
	l.tiles = newTiles(l.files)
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := l.open(ctx, origin, signer); err != nil {
		l.cancel(ErrClosed)
		l.done.Wait()
		return nil, err
	}
	l.door = Handler(l, opts.Logger)
	return l, nil
}

func (l *Log) open(ctx context.Context, origin string, signer ed25519.PrivateKey) error {
	key := ledger.LogKey{Origin: origin, Key: signer.Public()}
	var err error
	if l.id, err = key.ID(); err != nil {
		return fmt.Errorf("key of the log: %w", err)
	}
	use := Use{Lost: func(err error) { l.cancel(err) }, Logger: l.opts.Logger}
	var group *tessera.WitnessGroup
	if l.opts.Witnesses != nil {
		g, err := l.witnessGroup()
		if err != nil {
			return err
		}
		group, use.Client = &g, l.witnesses.client()
	}
	driver, err := l.files.Begin(l.ctx, use)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	if l.guard, err = newGuard(origin, signer, l.files, func(err error) { l.cancel(err) }); err != nil {
		return err
	}
	l.latest = newLatest([]ledger.LogKey{key}, l.files)
	l.latest.tell = l.guard.published
	if err := l.recover(ctx); err != nil {
		return err
	}
	return l.start(ctx, driver, group)
}

// recover checks the leaves against the last checkpoint, if there is one, and
// with that knows them all.
func (l *Log) recover(ctx context.Context) error {
	switch cp, err := l.latest.read(ctx); {
	case errors.Is(err, backend.ErrNoCheckpoint):
		return nil
	case err != nil:
		return err
	default:
		return l.guard.check(ctx, cp)
	}
}

// start lets Tessera at the files and waits until everything that a crash left
// integrated is published, and so known.
func (l *Log) start(ctx context.Context, driver tessera.Driver, group *tessera.WitnessGroup) error {
	o := tessera.NewAppendOptions().
		WithCheckpointSigner(l.guard).
		WithBatching(batchSize, l.opts.BatchAge).
		WithCheckpointInterval(l.opts.CheckpointInterval).
		WithCheckpointRepublishInterval(0)
	if group != nil {
		o = o.WithWitnesses(*group, &tessera.WitnessOptions{Timeout: witnessTimeout})
	}
	appender, shutdown, reader, err := tessera.NewAppender(l.ctx, driver, o)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	l.append, l.shutdown = appender.Add, shutdown
	l.done.Go(func() { l.latest.follow(l.ctx, l.guard) })
	integrated, err := reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	if known := l.guard.size(); integrated < known {
		return fmt.Errorf("%w: the tree has %d entries, its checkpoint %d", ErrCorrupt, integrated, known)
	}
	// Where entries get their places first and are integrated later, those of
	// before are known only when they are in a checkpoint too.
	next, err := reader.NextIndex(ctx)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	return l.published(ctx, max(integrated, next))
}

// published waits until what is integrated is published. Where witnesses have
// to agree, it does not wait for ever: reading needs no new checkpoint, and
// whoever writes is told to try again.
func (l *Log) published(ctx context.Context, size uint64) error {
	if _, ok := l.files.(disk); size == 0 && !ok {
		return nil // Tessera publishes an empty tree on a disk alone
	}
	waiting := ctx
	if l.opts.Witnesses != nil {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, 2*witnessTimeout)
		defer cancel()
	}
	_, err := l.latest.await(waiting, l.ctx, size)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		l.opts.Logger.Error("the log opens with entries that too few witnesses cosigned; nothing is logged until they do", "entries", size)
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	return nil
}

// witnessGroup reads the policy as we do, and then as Tessera does.
func (l *Log) witnessGroup() (tessera.WitnessGroup, error) {
	p, err := quorum.Parse(l.opts.Witnesses)
	if err != nil {
		return tessera.WitnessGroup{}, err
	}
	if !p.Asks() {
		return tessera.WitnessGroup{}, errors.New("tlog-policy: its quorum asks for no witness; leave the policy out")
	}
	if l.witnesses, err = newWitnesses(l.ctx, p, l.opts.Logger); err != nil {
		return tessera.WitnessGroup{}, err
	}
	group, err := tessera.NewWitnessGroupFromPolicy(l.opts.Witnesses)
	if err != nil {
		return tessera.WitnessGroup{}, fmt.Errorf("tlog-policy: %w", err)
	}
	return group, nil
}

// Checkpoint returns the last checkpoint.
func (l *Log) Checkpoint(ctx context.Context) (*ledger.Checkpoint, error) {
	cp, _ := l.latest.get()
	if cp == nil {
		return nil, backend.ErrNoCheckpoint
	}
	return cp, ctx.Err()
}

// Size returns how many entries the last checkpoint has.
func (l *Log) Size(ctx context.Context) (uint64, error) {
	if cp, _ := l.latest.get(); cp != nil {
		return cp.Size, ctx.Err()
	}
	return 0, ctx.Err()
}

// Read returns a tile, but nothing the last checkpoint does not have: that may
// still change.
func (l *Log) Read(ctx context.Context, path string) ([]byte, error) {
	size, err := l.Size(ctx)
	if err != nil {
		return nil, err
	}
	if t, ok := parseTile(path); !ok || !t.within(size) {
		return nil, fmt.Errorf("log of %d entries has no %.100q: %w", size, path, fs.ErrNotExist)
	}
	return l.files.Read(ctx, path)
}

// Count returns how many different leaves of the log a key signed.
func (l *Log) Count(key attest.Digest) int64 {
	l.guard.knownMu.RLock()
	defer l.guard.knownMu.RUnlock()
	return l.guard.byKey[key]
}

// Leaf returns the leaf at index, the first being 0.
func (l *Log) Leaf(ctx context.Context, index uint64) ([]byte, error) {
	size, err := l.Size(ctx)
	if err != nil {
		return nil, err
	}
	if index >= size {
		return nil, fmt.Errorf("log has %d entries, none at index %d", size, index)
	}
	leaves, err := readLeaves(ctx, l.files, index/leavesPerBundle, size)
	if err != nil {
		return nil, err
	}
	return leaves[index%leavesPerBundle], nil
}

// Close takes no more entries, waits for those on their way, at most until ctx
// ends, and closes the log. Whoever still waits in Add then gets ErrClosed.
// Reading goes on.
func (l *Log) Close(ctx context.Context) error {
	err := l.settle(ctx)
	l.guard.close()
	l.cancel(ErrClosed)
	l.done.Wait()
	if err != nil {
		return fmt.Errorf("closing the log: %w", err)
	}
	return nil
}

// settle waits until every entry on its way is in a checkpoint, or the log's
// life ends.
func (l *Log) settle(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	for _, f := range l.ground() {
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := context.Cause(l.ctx); errors.Is(err, ErrClosed) {
		return nil
	} else if err != nil {
		return err
	}
	return l.shutdown(ctx)
}

// ground lets no new flight begin and returns those under way.
func (l *Log) ground() []*flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return slices.Collect(maps.Values(l.flying))
}
