package tlog

import (
	"context"
	"crypto/sha256"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// How many tiles are kept, with all hashes in them: 16 KiB each. A log of a
// million entries has sixteen tiles above the lowest row, which every proof
// needs one or two of; of the lowest, it is the newest that is asked for by
// everybody whose entry came in with the same checkpoint.
const (
	upperTiles  = 128
	lowestTiles = 8
)

// tiles builds inclusion proofs from the tiles on the disk.
type tiles struct {
	files         files
	upper, lowest *lru.Cache[tileID, rows]
}

// A tileID names bytes that never change.
type tileID struct {
	level, index uint64
	width        uint8 // 0: all there will ever be
}

// rows are the hashes of a tile, those on the disk first. What would be above
// half a pair is not there.
type rows [layout.TileHeight][][]byte

func newTiles(files files) *tiles {
	t := &tiles{files: files}
	t.upper, _ = lru.New[tileID, rows](upperTiles) // fails for a size below 1
	t.lowest, _ = lru.New[tileID, rows](lowestTiles)
	return t
}

// proof returns the hashes that prove the entry at index in the tree of size.
func (t *tiles) proof(ctx context.Context, index, size uint64) ([][]byte, error) {
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(nodes.IDs))
	for _, id := range nodes.IDs {
		h, err := t.node(ctx, id, size)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}

// node returns one hash of the tree of size, not to be changed.
func (t *tiles) node(ctx context.Context, id compact.NodeID, size uint64) ([]byte, error) {
	level, index, row, at := layout.NodeCoordsToTileAddress(uint64(id.Level), id.Index)
	hashes, err := t.rows(ctx, tileID{level, index, layout.PartialTileSize(level, index, size)})
	if err != nil {
		return nil, err
	}
	if at >= uint64(len(hashes[row])) {
		return nil, fmt.Errorf("tile %d of level %d has %d hashes, too few", index, level, len(hashes[0]))
	}
	return hashes[row][at], nil
}

func (t *tiles) rows(ctx context.Context, id tileID) (rows, error) {
	kept := t.upper
	if id.level == 0 {
		kept = t.lowest
	}
	if have, ok := kept.Get(id); ok {
		return have, nil
	}
	raw, err := t.files.ReadTile(ctx, id.level, id.index, id.width)
	if err != nil {
		return rows{}, err
	}
	made, err := newRows(raw)
	if err == nil {
		kept.Add(id, made)
	}
	return made, err
}

// newRows computes the hashes above those of a file.
func newRows(raw []byte) (rows, error) {
	var t rows
	if len(raw)%sha256.Size != 0 || len(raw) > layout.TileWidth*sha256.Size {
		return t, fmt.Errorf("a tile of %d bytes", len(raw))
	}
	for ; len(raw) > 0; raw = raw[sha256.Size:] {
		t[0] = append(t[0], raw[:sha256.Size:sha256.Size])
	}
	for row := 1; row < len(t); row++ {
		below := t[row-1]
		for i := 0; i+1 < len(below); i += 2 {
			t[row] = append(t[row], rfc6962.DefaultHasher.HashChildren(below[i], below[i+1]))
		}
	}
	return t, nil
}

// forget reads everything from the disk again.
func (t *tiles) forget() {
	t.upper.Purge()
	t.lowest.Purge()
}
