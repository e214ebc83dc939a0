package ledger

import (
	"bytes"
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/tlog"
)

// Includes returns nil if proof (RFC 6962, section 2.1.1) shows that leaf is
// the log's entry index as c has the log, and otherwise an error that wraps
// [ErrTampered].
func (c *Checkpoint) Includes(index uint64, leaf []byte, proof [][]byte) error {
	hashes, root, err := c.hashes(proof)
	if err != nil {
		return err
	}
	if index >= c.Size {
		return fmt.Errorf("%w: there is no entry %d among %d", ErrTampered, index, c.Size)
	}
	if err := tlog.CheckRecord(hashes, int64(c.Size), root, int64(index), tlog.RecordHash(leaf)); err != nil {
		return fmt.Errorf("%w: the proof of entry %d does not lead to the root of %d entries", ErrTampered, index, c.Size)
	}
	return nil
}

// Continues returns nil if proof (RFC 6962, section 2.1.2) shows that c's log
// begins with the entries that seen has. Errors wrap [ErrRolledBack] or
// [ErrForked].
func (c *Checkpoint) Continues(seen *Checkpoint, proof [][]byte) error {
	if err := seen.Precedes(c); err != nil {
		return err
	}
	if seen.Size == c.Size || seen.Size == 0 {
		return nil
	}
	hashes, root, err := c.hashes(proof)
	if err != nil {
		return err
	}
	if len(seen.Root) != tlog.HashSize {
		return fmt.Errorf("%w: a root of %d bytes", ErrForked, len(seen.Root))
	}
	if err := tlog.CheckTree(hashes, int64(c.Size), root, int64(seen.Size), tlog.Hash(seen.Root)); err != nil {
		return fmt.Errorf("%w: the first %d of its %d entries do not make the root %x", ErrForked, seen.Size, c.Size, seen.Root)
	}
	return nil
}

// hashes returns a proof and c's root in the form that is checked.
func (c *Checkpoint) hashes(proof [][]byte) ([]tlog.Hash, tlog.Hash, error) {
	if c.Size > math.MaxInt64 || len(c.Root) != tlog.HashSize {
		return nil, tlog.Hash{}, fmt.Errorf("%w: size %d and a root of %d bytes are no log's", ErrTampered, c.Size, len(c.Root))
	}
	hashes := make([]tlog.Hash, len(proof))
	for i, h := range proof {
		if len(h) != tlog.HashSize {
			return nil, tlog.Hash{}, fmt.Errorf("%w: hash %d of a proof has %d bytes", ErrTampered, i, len(h))
		}
		hashes[i] = tlog.Hash(h)
	}
	return hashes, tlog.Hash(bytes.Clone(c.Root)), nil
}
