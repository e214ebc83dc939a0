package client

import (
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
		if err != nil {
			return nil, err
		}
		if len(b) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%w: %s has %d bytes", ledger.ErrTampered, path(tile), len(b))
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
