package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/patchfit/patchfit/ledger"
)

// saveEvery is how many entries lie between two calls of Following.Save; whole
// bundles.
const saveEvery = 64 * width

// An Edge is the right edge of a log's tree: what has to be known of its first
// Size entries to read on from there. Levels are the hashes of the tile that
// is being filled at each height, the leaves' first, one after the other
// (C2SP tlog-tiles). It proves nothing by itself: whoever keeps one compares
// its Root with a checkpoint. The zero Edge is that of an empty log.
type Edge struct {
	Size   uint64   `json:"size"`
	Levels [][]byte `json:"levels"`
}

// Root returns the root of the tree.
func (e *Edge) Root() ([]byte, error) {
	a := &audit{}
	if err := a.resume(e); err != nil {
		return nil, err
	}
	return a.root()
}

// Following are what Follow can do without.
type Following struct {
	// Visit is called with every new entry in order; it must keep no reference.
	// An error ends the reading. What it was told counts only if Follow returns
	// no error.
	Visit func(index uint64, leaf []byte) error
	// Save is called now and then with how far the reading got, after Visit saw
	// these entries. Follow can go on from there, to the same checkpoint.
	Save func(*Edge) error
}

// Follow reads the entries of cp's log that come after those whose edge from is,
// and returns the edge of all of them, if from and the new entries, hashed, make
// cp's root, and every tile of hashes that has changed holds their hashes. From
// is nil, or the edge of a checkpoint that cp continues, or what Save was given
// on the way to cp. Errors wrap [ledger.ErrTampered] where the log does not
// hold what cp says, and [ErrMissing] too where it does not hold it at all.
func (c *Client) Follow(ctx context.Context, cp *Checkpoint, from *Edge, f Following) (*Edge, error) {
	if from == nil {
		from = new(Edge)
	}
	a := &audit{client: c, cp: cp, visit: f.Visit, save: f.Save}
	if err := a.resume(from); err != nil {
		return nil, err
	}
	if from.Size > cp.Size {
		return nil, fmt.Errorf("%w: %d entries, and %d were read", ledger.ErrRolledBack, cp.Size, from.Size)
	}
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return a.edge(), nil
}

// edge returns how far a has come.
func (a *audit) edge() *Edge {
	e := &Edge{Size: a.tree.End(), Levels: make([][]byte, len(a.levels))}
	for l := range a.levels {
		e.Levels[l] = bytes.Join(a.levels[l].hashes, nil)
	}
	return e
}

var errEdge = errors.New("not the edge of a log")

// resume lets a go on from an edge.
func (a *audit) resume(e *Edge) (err error) {
	if e.Size>>62 > 0 || len(e.Levels) > (bits.Len64(e.Size)+height-1)/height {
		return errEdge
	}
	a.levels = nil
	for l, raw := range e.Levels {
		count := e.Size >> (height * l)
		if uint64(len(raw)) != count%width*hashSize {
			return fmt.Errorf("%w: level %d has %d bytes", errEdge, l, len(raw))
		}
		a.levels = append(a.levels, level{n: int64(count / width), hashes: split(raw)})
	}
	if e.Size>>(height*len(e.Levels)) > 0 {
		return fmt.Errorf("%w: it has %d levels for %d entries", errEdge, len(e.Levels), e.Size)
	}
	a.tree, err = factory().NewRange(0, e.Size, a.nodes())
	return err
}

const hashSize = 32 // of sha256

func split(raw []byte) (hashes [][]byte) {
	for ; len(raw) > 0; raw = raw[hashSize:] {
		hashes = append(hashes, bytes.Clone(raw[:hashSize]))
	}
	return hashes
}

// nodes returns the roots of the largest whole trees the entries make, from
// left to right: what a compact range consists of.
func (a *audit) nodes() (nodes [][]byte) {
	for l := len(a.levels) - 1; l >= 0; l-- {
		rest := a.levels[l].hashes
		for size := width / 2; size > 0; size /= 2 {
			if len(rest)&size != 0 {
				nodes, rest = append(nodes, subtree(rest[:size])), rest[size:]
			}
		}
	}
	return nodes
}

func (a *audit) root() ([]byte, error) {
	if a.tree.End() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	return a.tree.GetRootHash(nil)
}
