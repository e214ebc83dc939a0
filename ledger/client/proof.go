package client

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/patchfit/patchfit/ledger"
)

// Proofs makes proofs for one checkpoint of a log from the log's tiles, which
// it reads once each and believes only where they lead to the checkpoint's
// root. It is not safe for concurrent use.
type Proofs struct {
	log     *audit
	tree    tlog.HashReader
	tiles   map[tlog.Tile][]byte
	entries map[uint64][][]byte // by the first index of their bundle
	unread  error               // why a tile could not be read
}

// maxBundles is how many bundles of entries are remembered. Whoever asks in
// the order of the log needs one.
const maxBundles = 16

// Proofs returns what makes proofs for cp.
func (c *Client) Proofs(ctx context.Context, cp *Checkpoint) *Proofs {
	p := &Proofs{log: &audit{client: c, cp: cp}, tiles: map[tlog.Tile][]byte{}, entries: map[uint64][][]byte{}}
	tree := tlog.Tree{N: int64(cp.Size)}
	copy(tree.Hash[:], cp.Root)
	p.tree = tlog.TileHashReader(tree, &tileReader{ctx, p})
	return p
}

// Entry returns the leaf at index and the proof that the checkpoint has it.
func (p *Proofs) Entry(ctx context.Context, index uint64) (leaf []byte, proof [][]byte, err error) {
	if index >= p.log.cp.Size {
		return nil, nil, fmt.Errorf("%w: there is no entry %d among %d", ledger.ErrTampered, index, p.log.cp.Size)
	}
	if leaf, err = p.leaf(ctx, index); err != nil {
		return nil, nil, err
	}
	hashes, err := tlog.ProveRecord(int64(p.log.cp.Size), int64(index), p.tree)
	if err != nil {
		return nil, nil, fmt.Errorf("proving entry %d: %w", index, err)
	}
	proof = plain(hashes)
	return leaf, proof, p.log.cp.Includes(index, leaf, proof)
}

// Since returns the proof that the checkpoint's log begins with its first size
// entries.
func (p *Proofs) Since(size uint64) ([][]byte, error) {
	if size == 0 || size > p.log.cp.Size {
		return nil, fmt.Errorf("no proof that %d entries begin with %d", p.log.cp.Size, size)
	}
	hashes, err := tlog.ProveTree(int64(p.log.cp.Size), int64(size), p.tree)
	if err != nil {
		return nil, fmt.Errorf("proving that the log goes on from %d entries: %w", size, err)
	}
	return plain(hashes), nil
}

// Root returns the root of the log's first size entries, as the checkpoint has
// them.
func (p *Proofs) Root(size uint64) ([]byte, error) {
	if size > p.log.cp.Size {
		return nil, fmt.Errorf("there are no %d entries among %d", size, p.log.cp.Size)
	}
	h, err := tlog.TreeHash(int64(size), p.tree)
	if err != nil {
		return nil, fmt.Errorf("computing the root of the first %d entries: %w", size, p.explain(err))
	}
	return h[:], nil
}

// explain says of an error of tlog whose it is: where every tile was read, the
// tiles do not make the checkpoint's root.
func (p *Proofs) explain(err error) error {
	if p.unread != nil {
		return p.unread
	}
	return fmt.Errorf("%w: %w", ledger.ErrTampered, err)
}

// Differs returns the first entries, from one index to before another, that
// the checkpoint's log has otherwise than the log whose edge e is. It is as
// narrow as e can tell: to the entry, among the last 256 of them. Where e tells
// of no difference, from and to are e's size.
func (p *Proofs) Differs(e *Edge) (from, to uint64, err error) {
	a := &audit{}
	if err := a.resume(e); err != nil {
		return 0, 0, err
	}
	for l := len(a.levels) - 1; l >= 0; l-- {
		first := a.levels[l].n * width
		for i, have := range a.levels[l].hashes {
			n := first + int64(i)
			if uint64(n+1)<<(height*l) > p.log.cp.Size {
				break // a smaller log has no such hash
			}
			now, err := p.tree.ReadHashes([]int64{tlog.StoredHashIndex(height*l, n)})
			if err != nil {
				return 0, 0, fmt.Errorf("comparing two histories: %w", p.explain(err))
			}
			if !bytes.Equal(now[0][:], have) {
				span := uint64(1) << (height * l)
				return uint64(n) * span, uint64(n+1) * span, nil
			}
		}
	}
	return e.Size, e.Size, nil
}

func plain(hashes []tlog.Hash) [][]byte {
	list := make([][]byte, len(hashes))
	for i, h := range hashes {
		list[i] = h[:]
	}
	return list
}

func (p *Proofs) leaf(ctx context.Context, index uint64) ([]byte, error) {
	first := index / width * width
	leaves, ok := p.entries[first]
	if !ok {
		var err error
		if leaves, err = p.log.entries(ctx, first); err != nil {
			return nil, err
		}
		if len(p.entries) >= maxBundles {
			clear(p.entries)
		}
		p.entries[first] = leaves
	}
	return leaves[index-first], nil
}

// A tileReader reads tiles of hashes. [tlog.TileHashReader] checks them.
type tileReader struct {
	ctx    context.Context
	proofs *Proofs
}

func (t *tileReader) Height() int { return height }

func (t *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		if b, ok := t.proofs.tiles[tile]; ok {
			data[i] = b
			continue
		}
		b, err := t.proofs.log.file(t.ctx, tile, maxTile)
		if err == nil && len(b) < tile.W*tlog.HashSize {
			err = fmt.Errorf("%w: %s has %d bytes", ledger.ErrTampered, path(tile), len(b))
		}
		if err != nil {
			t.proofs.unread = err
			return nil, err
		}
		data[i] = b[:tile.W*tlog.HashSize] // a full tile begins with the partial one
	}
	return data, nil
}

func (t *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, tile := range tiles {
		t.proofs.tiles[tile] = data[i]
	}
}
