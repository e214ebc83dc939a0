// Package backend says what the rest of the house needs of a transparency log,
// whoever keeps it. ledger/tlog keeps one with Tessera, ledger/rekorv2 writes to
// another server's Rekor; ledger/tlog/tlogtest has the test that every keeper of
// a log passes.
//
// What a [Log] promises:
//
//   - Durability. An entry that was answered for, and the checkpoint in its
//     answer, survive a power cut of the machine that keeps the log. An entry
//     whose answer was lost may be in the log or not; adding it again tells.
//   - Idempotence. The same leaf is one entry, also after a restart and for any
//     number of writers at once: all get the same index, each with a proof that
//     holds now.
//   - Order. Indexes begin at 0 and have no holes. Who adds b after a was
//     answered finds b behind a. A checkpoint is never followed by a smaller
//     one, nor by one that does not contain it.
//   - Honesty. A log hands out no checkpoint of a tree it did not compute from
//     the leaves itself, or prove to continue the last one it knew, and no
//     proof it did not verify. When what is kept is no longer what was logged,
//     it says [ErrCorrupt] and takes nothing more; it never forks.
//   - Patience. Whoever waits stops waiting when their context ends. The entry
//     is seen into the log all the same.
package backend

import (
	"context"
	"errors"
	"time"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// Reasons why an entry is not taken, or a log not served.
var (
	// ErrStranger: the key may not write to this log.
	ErrStranger = errors.New("UNTRUSTED_SIGNER: key is not known to this log")
	// ErrBadEntry: the entry is malformed or its signature is not by its key.
	ErrBadEntry = errors.New("bad log entry")
	// ErrBusy: more entries are waiting than the log takes at once. Try again.
	ErrBusy = errors.New("log is busy")
	// ErrCorrupt: what is kept is not what was logged. Nothing is written any
	// more; entries that can be proven are still answered.
	ErrCorrupt = errors.New("log is damaged where it is kept")
	// ErrAway: who keeps the log cannot be reached, or does not answer. Try again.
	ErrAway = errors.New("log cannot be reached")
	// ErrClosed: the log was closed, or is frozen and only read.
	ErrClosed = errors.New("log is closed")
	// ErrNoCheckpoint: nothing was published yet.
	ErrNoCheckpoint = errors.New("log has no checkpoint yet")
)

// A Log is an open log. Its methods can be called concurrently. What they
// return is the caller's.
type Log interface {
	// Add logs req and returns its entry with a proof that a published
	// checkpoint has it, cosigned by the witnesses the log asks, if it does. An
	// exact duplicate is answered with the entry that is there. The error wraps
	// ErrBadEntry, ErrStranger, ErrBusy, ErrAway, ErrClosed or ErrCorrupt where that is
	// the reason, and the context's error when that ended first.
	Add(ctx context.Context, req *pb.HashedRekordRequestV002) (entry *rekor.TransparencyLogEntry, duplicate bool, err error)
	// Checkpoint returns the last checkpoint, or ErrNoCheckpoint.
	Checkpoint(ctx context.Context) (*ledger.Checkpoint, error)
	// Read returns a tile of hashes or of entries by its path, "tile/…" (C2SP
	// tlog-tiles), in its one form. What the last checkpoint does not have, and
	// a partial tile once the full one took its place, is fs.ErrNotExist.
	Read(ctx context.Context, path string) ([]byte, error)
	// Leaf returns the leaf at index, of those the last checkpoint has.
	Leaf(ctx context.Context, index uint64) ([]byte, error)
	// Size returns how many entries the last checkpoint has.
	Size(ctx context.Context) (uint64, error)
	// Published returns the same, and when that checkpoint was published.
	Published() (size uint64, at time.Time, err error)
	// Unpublished returns since when what was taken waits to be published: for
	// witnesses, a disk, or whoever keeps the log. Zero: nothing does.
	Unpublished() time.Time
	// Witnesses returns how the witnesses the log itself asks have answered, in
	// the order of their policy; none where it asks none.
	Witnesses() []Witness
	// Count returns how many different leaves of the log a key signed.
	Count(key attest.Digest) int64
	// Close takes no more entries, waits for those on their way, at most until
	// ctx ends, and closes the log. Whoever still waits in Add then gets
	// ErrClosed; adding what is in the log, and reading, go on.
	Close(ctx context.Context) error
}

// A Witness is how one witness answered since the log was opened.
type Witness struct {
	Name     string           // in the policy
	Requests map[string]int64 // by how they ended
	Cosigned time.Time        // when it last did; zero: not yet
}
