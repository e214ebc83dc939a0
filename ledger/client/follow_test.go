package client_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(nil)
	var edge *client.Edge
	next := uint64(0)
	for _, more := range []int{0, 3, 0, 300, 1} {
		w.fill(more)
		cp := w.mustAudit(nil)
		e, err := c.Follow(t.Context(), cp, edge, client.Following{Visit: func(index uint64, _ []byte) error {
			if index != next {
				t.Errorf("entry %d comes after %d", index, int64(next)-1)
			}
			next++
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if root, err := e.Root(); err != nil || !bytes.Equal(root, cp.Root) || e.Size != cp.Size {
			t.Errorf("edge of %d entries and root %x of %+v, %v", e.Size, root, cp, err)
		}
		if first, err := c.Proofs(t.Context(), cp).Root(min(3, cp.Size)); err != nil || len(first) != 32 {
			t.Errorf("root of the first entries: %x, %v", first, err)
		}
		edge = e
	}
	if other := newWorldOf(t, w.logKey); true {
		other.fill(305)
		cp := other.mustAudit(nil)
		if _, err := other.client(nil).Follow(t.Context(), cp, edge, client.Following{}); !errors.Is(err, ledger.ErrTampered) {
			t.Errorf("another history: %v", err)
		}
		if from, to, err := other.client(nil).Proofs(t.Context(), cp).Differs(edge); err != nil || from != 0 || to != 256 {
			t.Errorf("it differs from %d to %d, %v", from, to, err)
		}
	}
	small := *w.mustAudit(nil)
	small.Size = 5
	if _, err := c.Follow(t.Context(), &small, edge, client.Following{}); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("fewer entries than were read: %v", err)
	}
}

func TestEdgesThatAreNone(t *testing.T) {
	hash := make([]byte, 32)
	for name, e := range map[string]client.Edge{
		"too few hashes":  {Size: 2, Levels: [][]byte{hash}},
		"too many":        {Size: 1, Levels: [][]byte{append(hash, hash...)}},
		"a part of one":   {Size: 1, Levels: [][]byte{hash[:31]}},
		"a level more":    {Size: 1, Levels: [][]byte{hash, hash}},
		"a level less":    {Size: 256, Levels: [][]byte{nil}},
		"none":            {Size: 1},
		"hashes of no":    {Size: 0, Levels: [][]byte{hash}},
		"beyond any size": {Size: 1 << 63, Levels: [][]byte{nil, nil, nil, nil, nil, nil, nil, bytes.Repeat(hash, 128)}},
	} {
		if root, err := e.Root(); err == nil {
			t.Errorf("%s: root %x", name, root)
		}
	}
	if _, err := new(client.Edge).Root(); err != nil {
		t.Error(err)
	}
}
