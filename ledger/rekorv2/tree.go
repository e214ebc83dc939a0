package rekorv2

import (
	"bytes"
	"io/fs"
	"strings"

	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/patchfit/patchfit/ledger/client"
)

// The tiles of C2SP tlog-tiles: 256 hashes, eight levels of the tree in one.
const (
	height = 8
	width  = 1 << height
)

// A tree has the hashes of a log's leaves, and those of every 256 of them, and so
// on: what its tiles of hashes are made of.
type tree struct{ levels [][]tlog.Hash }

func (t *tree) size() uint64 {
	if len(t.levels) == 0 {
		return 0
	}
	return uint64(len(t.levels[0]))
}

// add puts the hash of the next leaf in its place.
func (t *tree) add(h tlog.Hash) { t.fill(0, h) }

func (t *tree) fill(l int, h tlog.Hash) {
	if l == len(t.levels) {
		t.levels = append(t.levels, nil)
	}
	t.levels[l] = append(t.levels[l], h)
	if n := len(t.levels[l]); n%width == 0 {
		t.fill(l+1, subtree(t.levels[l][n-width:]))
	}
}

// subtree returns the root over a power of two of hashes.
func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(subtree(hashes[:half]), subtree(hashes[half:]))
}

// ReadHashes implements [tlog.HashReader].
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		span := int64(1) << (level % height)
		if level/height >= len(t.levels) || (n+1)*span > int64(len(t.levels[level/height])) {
			return nil, fs.ErrNotExist
		}
		list[i] = subtree(t.levels[level/height][n*span : (n+1)*span])
	}
	return list, nil
}

// root returns the root of the first size leaves.
func (t *tree) root(size uint64) ([]byte, error) {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	h, err := tlog.TreeHash(int64(size), t)
	return h[:], err
}

// proof returns the hashes that lead from the leaf at index to the root of size
// leaves.
func (t *tree) proof(index, size uint64) (list [][]byte, err error) {
	hashes, err := tlog.ProveRecord(int64(size), int64(index), t)
	for _, h := range hashes {
		list = append(list, h[:])
	}
	return list, err
}

// edge is from where the log's new entries are read on.
func (t *tree) edge() *client.Edge {
	e := &client.Edge{Size: t.size()}
	for l := 0; e.Size>>(height*l) > 0; l++ {
		var hashes [][]byte
		if l < len(t.levels) {
			for _, h := range t.levels[l][len(t.levels[l])/width*width:] {
				hashes = append(hashes, h[:])
			}
		}
		e.Levels = append(e.Levels, bytes.Join(hashes, nil))
	}
	return e
}

// parseTile reads the path of a tile, "tile/…" in its one form, that the first
// size leaves have.
func parseTile(path string, size uint64) (tlog.Tile, bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return tlog.Tile{}, false
	}
	if entries, is := strings.CutPrefix(rest, "entries/"); is {
		rest = "data/" + entries
	} else if strings.HasPrefix(rest, "data/") {
		return tlog.Tile{}, false
	}
	tile, err := tlog.ParseTilePath("tile/8/" + rest)
	if err != nil {
		return tlog.Tile{}, false
	}
	there := size >> (height * max(tile.L, 0))
	if tile.N < 0 || uint64(tile.N) > there/width {
		return tlog.Tile{}, false
	}
	there = min(there-uint64(tile.N)*width, width)
	if there == width {
		return tile, tile.W == width
	}
	return tile, uint64(tile.W) <= there
}

// tile returns the bytes of a tile of hashes.
func (t *tree) tile(tile tlog.Tile) []byte {
	var b []byte
	for _, h := range t.levels[tile.L][tile.N*width : tile.N*width+int64(tile.W)] {
		b = append(b, h[:]...)
	}
	return b
}
