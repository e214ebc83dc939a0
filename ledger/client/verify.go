package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/patchfit/patchfit/ledger"
)

// Checkpoint is a log's signed word on its size and root.
type Checkpoint = ledger.Checkpoint

// Checkpoint returns the log's checkpoint, signed by one of the logs in
// trustedRoot, a trusted_root.json. It says nothing of what is in the log.
func (c *Client) Checkpoint(ctx context.Context, trustedRoot []byte) (*Checkpoint, error) {
	logs, err := ledger.LogKeys(trustedRoot)
	if err != nil {
		return nil, err
	}
	raw, err := c.RawCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	return ledger.OpenCheckpoint(raw, logs)
}

// RawCheckpoint returns what the log shows as its checkpoint; anybody may have
// signed it.
func (c *Client) RawCheckpoint(ctx context.Context) ([]byte, error) {
	raw, err := c.get(ctx, ledger.ReadPath+"checkpoint", maxCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return raw, nil
}

// VerifyLog reads the log from its first entry to its last and returns the
// checkpoint it verified:
//
//   - the checkpoint is signed by a log of trustedRoot;
//   - the entries, hashed again, make the checkpoint's root;
//   - every tile of hashes holds the hashes of these entries;
//   - seen, a checkpoint of an earlier visit, is not ahead of it, and its first
//     entries make the root of seen. Nil: there was none.
//
// visit, if not nil, is called with every entry in order; it must keep no
// reference. An error of visit ends the reading. What visit was told counts
// only if VerifyLog returns nil. Errors wrap [ledger.ErrUnsigned],
// [ledger.ErrRolledBack], [ledger.ErrForked] or [ledger.ErrTampered] where that
// was found.
func (c *Client) VerifyLog(ctx context.Context, trustedRoot []byte, seen *Checkpoint, visit func(index uint64, leaf []byte) error) (*Checkpoint, error) {
	cp, err := c.Checkpoint(ctx, trustedRoot)
	if err != nil {
		return nil, err
	}
	if err := c.verify(ctx, cp, seen, visit); err != nil {
		return nil, err
	}
	return cp, nil
}

func (c *Client) verify(ctx context.Context, cp, seen *Checkpoint, visit func(index uint64, leaf []byte) error) error {
	if seen != nil {
		if err := seen.Precedes(cp); err != nil {
			return err
		}
	}
	a := &audit{client: c, cp: cp, seen: seen, visit: visit, tree: factory().NewEmptyRange(0)}
	return a.run(ctx)
}

func factory() *compact.RangeFactory {
	return &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
}

// height is the height of a tile: each has 256 hashes (C2SP tlog-tiles).
const (
	height = 8
	width  = 1 << height
)

// An audit is one pass through a log.
type audit struct {
	client *Client
	cp     *Checkpoint
	seen   *Checkpoint
	visit  func(index uint64, leaf []byte) error
	tree   *compact.Range
	levels []level           // of tiles, the leaves' first
	save   func(*Edge) error // is told, now and then, how far it got; may be nil
}

// A level is the tile of hashes that is being filled.
type level struct {
	n      int64    // number of the tile
	hashes [][]byte // less than 256
}

func (a *audit) run(ctx context.Context) error {
	for first := a.tree.End() / width * width; first < a.cp.Size; first += width {
		leaves, err := a.entries(ctx, first)
		if err != nil {
			return err
		}
		if err := a.addAll(ctx, first, leaves); err != nil {
			return err
		}
	}
	for l := range a.levels {
		if err := a.compareTile(ctx, l); err != nil {
			return err
		}
	}
	return a.compareRoot(a.cp, ledger.ErrTampered)
}

// addAll takes the entries from index first on. Those an earlier visit had are
// compared with what they were then.
func (a *audit) addAll(ctx context.Context, first uint64, leaves [][]byte) error {
	had := a.tree.End() - first
	for i, leaf := range leaves {
		index := first + uint64(i)
		if uint64(i) >= had {
			if err := a.add(ctx, index, leaf); err != nil {
				return err
			}
		} else if !bytes.Equal(ledger.EntryHash(leaf), a.levels[0].hashes[i]) {
			return fmt.Errorf("%w: entry %d is not what it was at the last visit", ledger.ErrTampered, index)
		}
	}
	if a.save == nil || a.tree.End()%saveEvery != 0 {
		return nil
	}
	return a.save(a.edge())
}

// add takes the next entry.
func (a *audit) add(ctx context.Context, index uint64, leaf []byte) error {
	if err := a.meetSeen(index); err != nil {
		return err
	}
	h := ledger.EntryHash(leaf)
	if err := a.tree.Append(h, nil); err != nil {
		return err
	}
	if err := a.fill(ctx, 0, h); err != nil {
		return err
	}
	if a.visit == nil {
		return nil
	}
	return a.visit(index, leaf)
}

// meetSeen compares the tree with seen when it has as many entries.
func (a *audit) meetSeen(size uint64) error {
	if a.seen == nil || a.seen.Size != size {
		return nil
	}
	return a.compareRoot(a.seen, ledger.ErrForked)
}

func (a *audit) compareRoot(cp *Checkpoint, kind error) error {
	root, err := a.root()
	if err != nil {
		return err
	}
	if !bytes.Equal(root, cp.Root) {
		return fmt.Errorf("%w: the first %d entries have the root %x, the checkpoint says %x", kind, cp.Size, root, cp.Root)
	}
	return nil
}

// fill adds a hash to the tile of a level. A full tile is compared with the
// log's, and its root is a hash of the level above.
func (a *audit) fill(ctx context.Context, l int, hash []byte) error {
	if l == len(a.levels) {
		a.levels = append(a.levels, level{})
	}
	a.levels[l].hashes = append(a.levels[l].hashes, hash)
	if len(a.levels[l].hashes) < width {
		return nil
	}
	if err := a.compareTile(ctx, l); err != nil {
		return err
	}
	root := subtree(a.levels[l].hashes)
	a.levels[l] = level{n: a.levels[l].n + 1}
	return a.fill(ctx, l+1, root)
}

// subtree returns the root over a power of two of hashes.
func subtree(hashes [][]byte) []byte {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return rfc6962.DefaultHasher.HashChildren(subtree(hashes[:half]), subtree(hashes[half:]))
}

// compareTile compares the tile of a level with the log's.
func (a *audit) compareTile(ctx context.Context, l int) error {
	lv := a.levels[l]
	if len(lv.hashes) == 0 {
		return nil
	}
	t := tlog.Tile{H: height, L: l, N: lv.n, W: len(lv.hashes)}
	got, err := a.file(ctx, t, maxTile)
	if err != nil {
		return err
	}
	want := bytes.Join(lv.hashes, nil)
	if len(got) < len(want) || !bytes.Equal(got[:len(want)], want) {
		return fmt.Errorf("%w: %s has not the hashes of the entries below it", ledger.ErrTampered, path(t))
	}
	return nil
}

// entries returns the entries from index first on, up to 256, those that the
// checkpoint has.
func (a *audit) entries(ctx context.Context, first uint64) ([][]byte, error) {
	n := min(a.cp.Size-first, width)
	t := tlog.Tile{H: height, L: -1, N: int64(first / width), W: int(n)}
	raw, err := a.file(ctx, t, maxEntries)
	if err != nil {
		return nil, err
	}
	leaves := make([][]byte, 0, n)
	for uint64(len(leaves)) < n {
		if len(raw) < 2 || len(raw)-2 < int(binary.BigEndian.Uint16(raw)) {
			return nil, fmt.Errorf("%w: %s ends within entry %d", ledger.ErrTampered, path(t), first+uint64(len(leaves)))
		}
		end := 2 + int(binary.BigEndian.Uint16(raw))
		leaves, raw = append(leaves, raw[2:end]), raw[end:]
	}
	if n == width && len(raw) > 0 {
		return nil, fmt.Errorf("%w: %s goes on after its last entry", ledger.ErrTampered, path(t))
	}
	return leaves, nil
}

// file reads a file of the log. A log that has grown may have the full tile
// only, which begins with what the partial one had.
func (a *audit) file(ctx context.Context, t tlog.Tile, limit int64) ([]byte, error) {
	b, err := a.client.getPatiently(ctx, path(t), limit)
	if errors.Is(err, ErrNotFound) && t.W < width {
		full := t
		full.W = width
		b, err = a.client.getPatiently(ctx, path(full), limit)
	}
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: %s is %w", ledger.ErrTampered, path(t), ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	return b, nil
}

// path is where a tile is (C2SP tlog-tiles). The checksum database of Go, whose
// tiles these are, has the height in its paths and calls entries data.
func path(t tlog.Tile) string {
	p := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", height))
	if rest, ok := strings.CutPrefix(p, "data/"); ok {
		p = "entries/" + rest
	}
	return ledger.ReadPath + "tile/" + p
}
