// Package rekorv2 keeps the server's log in somebody else's Rekor v2: entries are
// sent to its write API, and what comes of it is read back from its tiles (C2SP
// tlog-tiles) and verified (docs/log-backends.md, "In an external Rekor v2").
//
// Nothing that server says is believed. How an entry gets in, and what a crash
// leaves behind at each step:
//
//  1. [Log.Add] checks the signature and asks whether the key may write. What is
//     in the log already is answered from the mirror.
//  2. The entry is sent, and the server answers when a checkpoint has it. A crash
//     here, or an answer that is lost, leaves an entry that may be in the log;
//     the next attempt looks there first, and the server refuses duplicates.
//  3. Every entry up to that checkpoint is read from the tiles and hashed onto the
//     tree of those before. They have to make the checkpoint's root.
//  4. The entries are appended to the mirror and synced, then its checkpoint is
//     replaced. A crash before that reads them again.
//  5. Only then is the entry looked for, by its hash, and its proof made from the
//     mirror's own tree.
//
// The mirror is the whole log, on this machine's disk: opening hashes it again,
// reading needs nobody, and a server whose Rekor is away starts, shows the log as
// it knows it, and logs nothing. A checkpoint that contradicts the mirror ends the
// writing, for good: both are kept.
package rekorv2

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/client"
)

// Limits and times.
const (
	// DefaultWaiting is how many entries may be on their way at once.
	DefaultWaiting = 4096
	// submitTimeout is how long the server may take for one entry: by itself it
	// publishes a checkpoint every ten seconds.
	submitTimeout = 40 * time.Second
	// openTimeout is how long it may take to answer when the log is opened.
	openTimeout = 20 * time.Second
	// lag is how long tiles may come after the checkpoint that has them.
	lag   = 10 * time.Second
	pause = 200 * time.Millisecond

	maxConns = 256
)

// A Config says whose log it is.
type Config struct {
	URL   string // of the write API, without /api/v2
	Tiles string // where checkpoint and tiles are read, without /api/v2; "": at URL
	Key   ledger.LogKey
	Dir   string // of the mirror; made where it is missing
}

// Options are what a Log can do without. The zero Options let nobody write.
type Options struct {
	Writers backend.Writers
	// Logger takes what has no caller. Nil: nothing is logged.
	Logger *slog.Logger
	// Waiting is how many entries may be on their way at once. Zero:
	// DefaultWaiting.
	Waiting int
	// HTTP is what the server is asked with. Nil: one that follows no redirect.
	HTTP *http.Client
}

// A Log is an open log, as [backend.Log] has it.
type Log struct {
	config  Config
	writers backend.Writers
	logger  *slog.Logger
	waiting int
	lag     time.Duration
	http    *http.Client
	tiles   *client.Client
	id      []byte

	ctx    context.Context // the log's life; its cause says why it ended
	cancel context.CancelCauseFunc
	done   sync.WaitGroup
	unsure atomic.Bool // an answer was lost: its entry may be in the log

	reading sync.Mutex // one reads on at a time
	mu      sync.RWMutex
	mirror  *mirror
	flying  map[tlog.Hash]*flight
	closed  bool
}

// A flight is an entry on its way. Everybody who adds the same meanwhile waits
// for the same flight.
type flight struct {
	began time.Time
	done  chan struct{}
	err   error
}

// Open opens the log: the mirror, and what is new since. A server that is away is
// no reason not to, once something of the log is known. ctx bounds the opening.
func Open(ctx context.Context, c Config, o *Options) (*Log, error) {
	l, err := open(ctx, c, o)
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	switch err := l.catchUp(asking, nil); {
	case err == nil:
	case errors.Is(err, backend.ErrAway) && l.mirror.cp != nil:
		l.unsure.Store(true)
		l.logger.Error("the external log is away; nothing is logged until it answers", "log", c.Key.Origin, "error", err)
	default:
		return nil, errors.Join(fmt.Errorf("opening the external log %s: %w", c.Key.Origin, err), l.Close(ctx))
	}
	return l, nil
}

// OpenFrozen opens the mirror to be read only: the log ended, for this server,
// with the checkpoint final; nil: with the mirror's last. It asks nobody.
func OpenFrozen(ctx context.Context, dir string, key ledger.LogKey, final *ledger.Checkpoint, o *Options) (*Log, error) {
	l, err := open(ctx, Config{URL: "https://" + key.Origin, Key: key, Dir: dir}, o)
	if err != nil {
		return nil, err
	}
	l.closed = true
	l.cancel(backend.ErrClosed)
	cp := l.mirror.cp
	if final != nil && (cp == nil || cp.Size != final.Size || string(cp.Root) != string(final.Root)) {
		return nil, fmt.Errorf("%w: log %s ended with %d entries, and its mirror is another", backend.ErrCorrupt, key.Origin, final.Size)
	}
	return l, nil
}

func open(ctx context.Context, c Config, o *Options) (*Log, error) {
	if o == nil {
		o = new(Options)
	}
	if c.Tiles == "" {
		c.Tiles = c.URL
	}
	l := &Log{config: c, writers: o.Writers, logger: o.Logger, waiting: o.Waiting, lag: lag, http: o.HTTP, flying: make(map[tlog.Hash]*flight)}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	if l.waiting <= 0 {
		l.waiting = DefaultWaiting
	}
	if l.http == nil {
		l.http = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxConns, MaxConnsPerHost: maxConns}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	var err error
	if l.tiles, err = client.New(c.Tiles, l.http); err != nil {
		return nil, err
	}
	if l.id, err = c.Key.ID(); err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	if l.mirror, err = openMirror(c.Dir, []ledger.LogKey{c.Key}); err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return l, nil
}

// Checkpoint implements [backend.Log].
func (l *Log) Checkpoint(ctx context.Context) (*ledger.Checkpoint, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.mirror.cp == nil {
		return nil, backend.ErrNoCheckpoint
	}
	return l.mirror.cp, ctx.Err()
}

// Size implements [backend.Log].
func (l *Log) Size(ctx context.Context) (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mirror.tree.size(), ctx.Err()
}

// Published implements [backend.Log].
func (l *Log) Published() (size uint64, at time.Time, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mirror.tree.size(), l.mirror.at, nil
}

// Unpublished implements [backend.Log]: it is since when the oldest of those that
// wait does.
func (l *Log) Unpublished() (oldest time.Time) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, f := range l.flying {
		if oldest.IsZero() || f.began.Before(oldest) {
			oldest = f.began
		}
	}
	return oldest
}

// Witnesses implements [backend.Log]: whom that server asks is its own matter.
func (l *Log) Witnesses() []backend.Witness { return nil }

// Count implements [backend.Log].
func (l *Log) Count(key attest.Digest) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mirror.byKey[key]
}

// Read implements [backend.Log].
func (l *Log) Read(ctx context.Context, path string) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	tile, ok := parseTile(path, l.mirror.tree.size())
	if !ok {
		return nil, fmt.Errorf("log of %d entries has no %.100q: %w", l.mirror.tree.size(), path, fs.ErrNotExist)
	}
	if tile.L >= 0 {
		return l.mirror.tree.tile(tile), ctx.Err()
	}
	b, err := l.mirror.bundle(uint64(tile.N)*width, uint64(tile.W))
	return b, errors.Join(err, ctx.Err())
}

// Leaf implements [backend.Log].
func (l *Log) Leaf(ctx context.Context, index uint64) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if size := l.mirror.tree.size(); index >= size {
		return nil, fmt.Errorf("log has %d entries, none at index %d", size, index)
	}
	b, err := l.mirror.bundle(index, 1)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	if tlog.RecordHash(b[2:]) != l.mirror.tree.levels[0][index] {
		return nil, fmt.Errorf("%w: entry %d of the mirror is not what was logged", backend.ErrCorrupt, index)
	}
	return b[2:], nil
}

// Close implements [backend.Log]. The mirror stays readable.
func (l *Log) Close(ctx context.Context) error {
	err := l.settle(ctx)
	l.cancel(backend.ErrClosed)
	l.done.Wait()
	if err != nil {
		return fmt.Errorf("closing the log: %w", err)
	}
	return nil
}

// settle waits until every entry on its way is in or has failed.
func (l *Log) settle(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	flights := slices.Collect(maps.Values(l.flying))
	l.mu.Unlock()
	for _, f := range flights {
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// origin is for messages: what the log is called.
func (l *Log) origin() string { return strings.TrimSpace(l.config.Key.Origin) }

var _ backend.Log = (*Log)(nil)

// request is what is sent.
type request = pb.HashedRekordRequestV002
