package tlog

import (
	"context"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// Segments is the log as the journal sees it: a place for the signed
// statements of its sealed segments.
type Segments struct {
	Log backend.Log
	// Frozen are the logs that took them before, and are only read.
	Frozen []backend.Log
}

// Add makes a signed statement one leaf and returns its index.
func (s Segments) Add(ctx context.Context, envelope []byte, key *attest.PublicKey) (int64, error) {
	e, err := attest.ParseEnvelope(envelope, attest.SegmentPayload)
	if err != nil {
		return 0, err
	}
	leaf, err := ledger.Leaf(e, key)
	if err != nil {
		return 0, err
	}
	entry, _, err := s.Log.Add(ctx, leaf)
	if err != nil {
		return 0, err
	}
	return entry.GetLogIndex(), nil
}

// Count returns how many leaves a key signed, in all logs.
func (s Segments) Count(key attest.Digest) int64 {
	n := s.Log.Count(key)
	for _, l := range s.Frozen {
		n += l.Count(key)
	}
	return n
}
