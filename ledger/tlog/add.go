package tlog

import (
	"context"
	"errors"
	"fmt"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// A flight is a leaf on its way into the tree. Everybody who adds the same
// leaf meanwhile waits for the same flight.
type flight struct {
	done  chan struct{} // closed when index or err is set
	index uint64
	err   error
}

// Add logs req and returns its entry with a proof that a published checkpoint
// has it. An exact duplicate is answered with the entry that is there and a
// fresh proof. When Add returns without an error, the entry survives a power
// cut; after an error it may be in the log or not, and adding it again tells.
// The error wraps ErrBadEntry, ErrStranger, ErrBusy, ErrClosed or ErrCorrupt
// where that is the reason.
func (l *Log) Add(ctx context.Context, req *pb.HashedRekordRequestV002) (entry *rekor.TransparencyLogEntry, duplicate bool, err error) {
	body, err := backend.Writers{Allowed: l.opts.Allowed, Certified: l.opts.Certified}.Admit(req)
	if err != nil {
		return nil, false, err
	}
	index, duplicate, err := l.place(ctx, body)
	if err != nil {
		return nil, false, err
	}
	entry, err = l.prove(ctx, index, body)
	return entry, duplicate, err
}

// place returns the index at which body stands in the tree, old or new.
func (l *Log) place(ctx context.Context, body []byte) (index uint64, duplicate bool, err error) {
	f, index, duplicate, err := l.board(leafHash(ledger.EntryHash(body)), body)
	if f == nil || err != nil {
		return index, duplicate, err
	}
	select {
	case <-f.done:
		return f.index, duplicate, f.err
	case <-ctx.Done():
		return 0, false, fmt.Errorf("waiting for the entry to be written: %w", ctx.Err())
	}
}

// board returns the index of a leaf the log has, the flight it is on already,
// or a new one.
func (l *Log) board(h leafHash, body []byte) (f *flight, index uint64, duplicate bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index, ok := l.guard.find(h); ok {
		return nil, index, true, nil
	}
	if f, ok := l.flying[h]; ok {
		return f, 0, true, nil
	}
	if err := context.Cause(l.ctx); err != nil {
		return nil, 0, false, err
	}
	if l.closed {
		return nil, 0, false, ErrClosed
	}
	if len(l.flying) >= l.opts.Waiting {
		return nil, 0, false, fmt.Errorf("%w: %d entries are waiting", ErrBusy, l.opts.Waiting)
	}
	f = &flight{done: make(chan struct{})}
	l.flying[h] = f
	l.done.Go(func() { l.fly(f, h, body) })
	return f, 0, false, nil
}

// fly sees a leaf into the tree, whether or not somebody still waits for it.
func (l *Log) fly(f *flight, h leafHash, body []byte) {
	index, err := l.integrate(body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.index, f.err = index, err; err == nil {
		l.guard.learn(h, index)
	}
	delete(l.flying, h)
	close(f.done)
}

func (l *Log) integrate(body []byte) (uint64, error) {
	type result struct {
		index tessera.Index
		err   error
	}
	landed := make(chan result, 1)
	future := l.append(l.ctx, tessera.NewEntry(body))
	go func() { // ends with the process if the log breaks now
		i, err := future()
		landed <- result{i, err}
	}()
	select {
	case r := <-landed:
		if errors.Is(r.err, tessera.ErrPushback) {
			return 0, fmt.Errorf("%w: %w", ErrBusy, r.err)
		}
		if r.err != nil {
			return 0, fmt.Errorf("writing the log entry: %w", r.err)
		}
		return r.index.Index, nil
	case <-l.ctx.Done():
		return 0, context.Cause(l.ctx)
	}
}

// prove returns the entry at index, whose leaf is body, with its proof. The
// proof is checked, so that one that does not hold never leaves the house.
func (l *Log) prove(ctx context.Context, index uint64, body []byte) (*rekor.TransparencyLogEntry, error) {
	cp, err := l.latest.await(ctx, l.ctx, index+1)
	if err != nil {
		return nil, err
	}
	hashes, err := l.tiles.proof(ctx, index, cp.Size)
	if err != nil {
		return nil, fmt.Errorf("building the proof: %w", err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, cp.Size, ledger.EntryHash(body), hashes, cp.Root); err != nil {
		l.tiles.forget()
		return nil, fmt.Errorf("%w: entry %d cannot be proven: %w", ErrCorrupt, index, err)
	}
	return l.entry(cp, index, body, hashes), nil
}

// entry is Rekor's form of an entry. There is no integrated time and no
// promise: the tree is the promise, and timestamps come from an authority.
func (l *Log) entry(cp *ledger.Checkpoint, index uint64, body []byte, hashes [][]byte) *rekor.TransparencyLogEntry {
	return &rekor.TransparencyLogEntry{
		LogIndex:    int64(index),
		LogId:       &protocommon.LogId{KeyId: l.id},
		KindVersion: &rekor.KindVersion{Kind: ledger.EntryKind, Version: ledger.EntryVersion},
		InclusionProof: &rekor.InclusionProof{
			LogIndex: int64(index), RootHash: cp.Root, TreeSize: int64(cp.Size), Hashes: hashes,
			Checkpoint: &rekor.Checkpoint{Envelope: string(cp.Raw)},
		},
		CanonicalizedBody: body,
	}
}
