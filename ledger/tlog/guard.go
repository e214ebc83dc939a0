package tlog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore/pkg/signature"
	checkpoints "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// leavesPerBundle is how many leaves one file of the log holds (C2SP
// tlog-tiles).
const leavesPerBundle = layout.EntryBundleWidth

type leafHash [32]byte

// A guard signs checkpoints, but only of a tree it has computed itself from
// every leaf on the disk, first to last. As it sees every leaf once, it also
// knows where each one is.
type guard struct {
	inner  note.Signer
	files  files
	broken func(error)   // is told when the tree on disk is not ours
	signed chan struct{} // has an element after a checkpoint was signed

	signedSize atomic.Uint64
	waiting    atomic.Int64 // when the oldest of those that are not published was signed, in ns of Unix time; 0: none

	mu     sync.Mutex // of tree and closed
	tree   *compact.Range
	closed bool

	known   map[leafHash]uint64
	byKey   map[attest.Digest]int64 // how many of them each key signed
	knownMu sync.RWMutex
}

func newGuard(origin string, key ed25519.PrivateKey, files files, broken func(error)) (*guard, error) {
	s, err := signature.LoadED25519Signer(key)
	if err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	inner, err := rekornote.NewNoteSigner(context.Background(), origin, s)
	if err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	g := readGuard(files)
	g.inner, g.broken = inner, broken
	return g, nil
}

// readGuard returns a guard that checks, and has no key to sign with.
func readGuard(files files) *guard {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return &guard{
		files: files, signed: make(chan struct{}, 1),
		tree: factory.NewEmptyRange(0), known: make(map[leafHash]uint64), byKey: make(map[attest.Digest]int64),
	}
}

// Name implements [note.Signer].
func (g *guard) Name() string { return g.inner.Name() }

// KeyHash implements [note.Signer].
func (g *guard) KeyHash() uint32 { return g.inner.KeyHash() }

// Sign implements [note.Signer] for checkpoints of this log.
func (g *guard) Sign(msg []byte) ([]byte, error) {
	var c checkpoints.Checkpoint
	if rest, err := c.Unmarshal(msg); err != nil || len(rest) > 0 || c.Origin != g.Name() {
		return nil, errors.New("refusing to sign what is no checkpoint of this log")
	}
	cp := &ledger.Checkpoint{Origin: c.Origin, Size: c.Size, Root: c.Hash}
	if err := g.check(context.Background(), cp); err != nil {
		if errors.Is(err, ErrCorrupt) {
			g.broken(err)
		}
		return nil, err
	}
	sig, err := g.inner.Sign(msg)
	if err != nil {
		return nil, err
	}
	g.signedSize.Store(cp.Size)
	g.waiting.CompareAndSwap(0, time.Now().UnixNano())
	select {
	case g.signed <- struct{}{}:
	default:
	}
	return sig, nil
}

// published takes note of a checkpoint that others can see now: nothing waits any
// more. One that was signed just now is signed again until it is published.
func (g *guard) published(cp *ledger.Checkpoint) {
	if cp.Size >= g.signedSize.Load() {
		g.waiting.Store(0)
	}
}

// check returns nil if the leaves on disk make the root that cp names. It
// reads those it has not read yet.
func (g *guard) check(ctx context.Context, cp *ledger.Checkpoint) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	if cp.Size < g.tree.End() {
		return fmt.Errorf("%w: the tree shrank from %d entries to %d", ErrCorrupt, g.tree.End(), cp.Size)
	}
	if err := g.extend(ctx, cp.Size); err != nil {
		return err
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if cp.Size > 0 {
		var err error
		if root, err = g.tree.GetRootHash(nil); err != nil {
			return fmt.Errorf("computing the root: %w", err)
		}
	}
	if !bytes.Equal(root, cp.Root) {
		return fmt.Errorf("%w: its %d entries have the root %x, the tree says %x", ErrCorrupt, cp.Size, root, cp.Root)
	}
	return nil
}

// extend reads the leaves up to size.
func (g *guard) extend(ctx context.Context, size uint64) error {
	for g.tree.End() < size {
		end := g.tree.End()
		leaves, err := readLeaves(ctx, g.files, end/leavesPerBundle, size)
		if err != nil {
			return err
		}
		for _, leaf := range leaves[end%leavesPerBundle:] {
			h := leafHash(ledger.EntryHash(leaf))
			g.learn(h, g.tree.End())
			g.count(h, g.tree.End(), leaf)
			if err := g.tree.Append(h[:], nil); err != nil {
				return fmt.Errorf("computing the root: %w", err)
			}
		}
	}
	return nil
}

// count adds a leaf of the tree to those of its key. Of several equal ones only
// the first counts.
func (g *guard) count(h leafHash, index uint64, leaf []byte) {
	e, err := ledger.ParseEntry(leaf)
	if err != nil {
		return // not one of ours: it is in the tree, and by nobody we know
	}
	g.knownMu.Lock()
	defer g.knownMu.Unlock()
	if g.known[h] == index {
		g.byKey[e.Key.ID()]++
	}
}

// learn remembers where a leaf is; of several equal ones, the first.
func (g *guard) learn(h leafHash, index uint64) {
	g.knownMu.Lock()
	defer g.knownMu.Unlock()
	if at, ok := g.known[h]; !ok || index < at {
		g.known[h] = index
	}
}

func (g *guard) find(h leafHash) (index uint64, ok bool) {
	g.knownMu.RLock()
	defer g.knownMu.RUnlock()
	index, ok = g.known[h]
	return index, ok
}

func (g *guard) size() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tree.End()
}

// close lets the guard sign nothing more.
func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// readLeaves returns the leaves of bundle number n in a log of size entries.
// Files that are not there, or not whole, are ErrCorrupt.
func readLeaves(ctx context.Context, from files, n, size uint64) ([][]byte, error) {
	raw, err := from.ReadEntryBundle(ctx, n, layout.PartialTileSize(0, n, size))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: entries from %d on are missing", ErrCorrupt, n*leavesPerBundle)
	}
	if err != nil {
		return nil, fmt.Errorf("reading log entries: %w", err)
	}
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, fmt.Errorf("%w: entries from %d on: %w", ErrCorrupt, n*leavesPerBundle, err)
	}
	want := min(size-n*leavesPerBundle, leavesPerBundle)
	if uint64(len(b.Entries)) < want {
		return nil, fmt.Errorf("%w: %d entries from %d on, want %d", ErrCorrupt, len(b.Entries), n*leavesPerBundle, want)
	}
	return b.Entries[:want], nil
}
