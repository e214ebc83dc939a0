package rekorv2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/client"
)

// Add implements [backend.Log].
func (l *Log) Add(ctx context.Context, req *request) (entry *rekor.TransparencyLogEntry, duplicate bool, err error) {
	body, err := l.writers.Admit(req)
	if err != nil {
		return nil, false, err
	}
	h := tlog.RecordHash(body)
	f, duplicate, err := l.board(h, req)
	if err != nil {
		return nil, false, err
	}
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, false, fmt.Errorf("waiting for the entry to be logged: %w", ctx.Err())
		}
		if f.err != nil {
			return nil, false, f.err
		}
	}
	entry, err = l.prove(h, body)
	return entry, duplicate, err
}

// board returns the flight an entry is on, a new one where it is on none; nil
// where the log has it.
func (l *Log) board(h tlog.Hash, req *request) (f *flight, duplicate bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, there := l.mirror.known[h]; there {
		return nil, true, nil
	}
	if f, ok := l.flying[h]; ok {
		return f, true, nil
	}
	if err := context.Cause(l.ctx); err != nil {
		return nil, false, err
	}
	if l.closed {
		return nil, false, backend.ErrClosed
	}
	if len(l.flying) >= l.waiting {
		return nil, false, fmt.Errorf("%w: %d entries are waiting", backend.ErrBusy, l.waiting)
	}
	f = &flight{began: time.Now(), done: make(chan struct{})}
	l.flying[h] = f
	l.done.Go(func() {
		f.err = l.see(h, req)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.flying, h)
		close(f.done)
	})
	return f, false, nil
}

// see brings an entry into the log and into the mirror, whether or not somebody
// still waits for it.
func (l *Log) see(h tlog.Hash, req *request) error {
	if l.unsure.Load() { // an answer was lost, perhaps to this very entry
		if err := l.catchUp(l.ctx, nil); err != nil {
			return l.ended(err)
		}
		l.unsure.Store(false)
		if l.has(h) {
			return nil
		}
	}
	r, err := l.submit(l.ctx, req)
	if err != nil {
		if errors.Is(err, backend.ErrAway) {
			l.unsure.Store(true)
		}
		return l.ended(err)
	}
	if err := l.readTo(l.ctx, r); err != nil {
		l.unsure.Store(true)
		return l.ended(err)
	}
	if !l.has(h) {
		return fmt.Errorf("%w: log %s: %w (%d)", backend.ErrCorrupt, l.origin(), errLied, r.index)
	}
	return nil
}

// ended makes an error that came of the log's end say so.
func (l *Log) ended(err error) error {
	if cause := context.Cause(l.ctx); cause != nil {
		return cause
	}
	return err
}

func (l *Log) has(h tlog.Hash) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, there := l.mirror.known[h]
	return there
}

func (l *Log) size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mirror.tree.size()
}

// readTo reads on until the mirror has the entry of a receipt. Checkpoint and
// tiles may be some seconds behind what the server answered.
func (l *Log) readTo(ctx context.Context, r *receipt) error {
	for end := time.Now().Add(l.lag); ; {
		if l.size() > r.index {
			return nil
		}
		err := l.catchUp(ctx, r.checkpoint)
		if err == nil && l.size() > r.index {
			return nil
		}
		if err != nil && !errors.Is(err, backend.ErrAway) && !errors.Is(err, client.ErrMissing) {
			return err
		}
		if time.Now().After(end) {
			return errors.Join(err, fmt.Errorf("%w: it answered for entry %d, and shows %d", backend.ErrAway, r.index, l.size()))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// catchUp reads every entry up to a checkpoint that the server sent, or up to
// the one it shows now, where raw is nil. It is the one way the mirror grows.
func (l *Log) catchUp(ctx context.Context, raw []byte) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	if len(raw) == 0 {
		var err error
		if raw, err = l.tiles.RawCheckpoint(ctx); err != nil {
			return fmt.Errorf("%w: %w", backend.ErrAway, err)
		}
	}
	cp, err := ledger.OpenCheckpoint(raw, []ledger.LogKey{l.config.Key})
	if err != nil {
		return fmt.Errorf("%w: log %s: %w", backend.ErrCorrupt, l.origin(), err)
	}
	if cp.Size <= l.mirror.tree.size() && l.mirror.cp != nil {
		return l.agrees(cp)
	}
	var leaves [][]byte
	_, err = l.tiles.Follow(ctx, cp, l.mirror.tree.edge(), client.Following{Visit: func(_ uint64, leaf []byte) error {
		leaves = append(leaves, bytes.Clone(leaf))
		return nil
	}})
	switch {
	case errors.Is(err, client.ErrMissing):
		return fmt.Errorf("%w: %w", backend.ErrAway, err)
	case errors.Is(err, ledger.ErrTampered):
		return errors.Join(l.continues(ctx, cp), fmt.Errorf("%w: log %s: %w", backend.ErrCorrupt, l.origin(), err))
	case err != nil:
		return fmt.Errorf("%w: %w", backend.ErrAway, err)
	}
	if err := l.mirror.append(leaves); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mirror.commit(cp, leaves)
}

// agrees asks that a checkpoint that has no new entries is of the same log.
func (l *Log) agrees(cp *ledger.Checkpoint) error {
	root, err := l.mirror.tree.root(cp.Size)
	if err != nil || bytes.Equal(root, cp.Root) {
		return err
	}
	return l.forked(cp, cp.Size, root, cp.Root)
}

// continues asks of a larger checkpoint whose entries are not what was read
// before, whether it says so itself: hashes are believed that lead to its root.
func (l *Log) continues(ctx context.Context, cp *ledger.Checkpoint) error {
	size := l.mirror.tree.size()
	if size == 0 {
		return nil
	}
	theirs, err := l.tiles.Proofs(ctx, cp).Root(size)
	if err != nil {
		return nil // it may be whoever serves the files
	}
	ours, err := l.mirror.tree.root(size)
	if err != nil || bytes.Equal(ours, theirs) {
		return err
	}
	return l.forked(cp, size, ours, theirs)
}

// forked ends the writing: the log has signed two histories.
func (l *Log) forked(cp *ledger.Checkpoint, size uint64, ours, theirs []byte) error {
	err := fmt.Errorf("%w: log %s: %w: its first %d entries have the root %x, it signs %x", backend.ErrCorrupt, l.origin(), ledger.ErrForked, size, ours, theirs)
	if kept := l.mirror.contradicts(l.mirror.cp.Raw, cp.Raw); kept != nil {
		err = errors.Join(err, kept)
	}
	l.logger.Error("the external log contradicts itself; nothing is logged any more", "error", err)
	l.cancel(err)
	return err
}

// prove returns the entry with that hash and leaf, and its proof, which is checked.
func (l *Log) prove(h tlog.Hash, body []byte) (*rekor.TransparencyLogEntry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	index, cp := l.mirror.known[h], l.mirror.cp
	hashes, err := l.mirror.tree.proof(index, cp.Size)
	if err != nil {
		return nil, fmt.Errorf("building the proof: %w", err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, cp.Size, h[:], hashes, cp.Root); err != nil {
		return nil, fmt.Errorf("%w: entry %d cannot be proven: %w", backend.ErrCorrupt, index, err)
	}
	return &rekor.TransparencyLogEntry{
		LogIndex:    int64(index),
		LogId:       &protocommon.LogId{KeyId: l.id},
		KindVersion: &rekor.KindVersion{Kind: ledger.EntryKind, Version: ledger.EntryVersion},
		InclusionProof: &rekor.InclusionProof{
			LogIndex: int64(index), RootHash: cp.Root, TreeSize: int64(cp.Size), Hashes: hashes,
			Checkpoint: &rekor.Checkpoint{Envelope: string(cp.Raw)},
		},
		CanonicalizedBody: body,
	}, nil
}
