package client_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

func TestProofsOfEveryEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(3)
	three := w.mustAudit(nil)
	w.fill(258)
	cp := w.mustAudit(three)
	var leaves [][]byte
	if _, err := w.client(nil).VerifyLog(t.Context(), w.trustedRoot, nil, func(_ uint64, leaf []byte) error {
		leaves = append(leaves, slices.Clone(leaf))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	proofs := w.client(nil).Proofs(t.Context(), cp)
	for i := range cp.Size {
		leaf, proof, err := proofs.Entry(t.Context(), i)
		if err != nil || !slices.Equal(leaf, leaves[i]) {
			t.Fatalf("entry %d: %v", i, err)
		}
		if err := cp.Includes((i+1)%cp.Size, leaf, proof); !errors.Is(err, ledger.ErrTampered) {
			t.Fatalf("the proof of entry %d is one of another: %v", i, err)
		}
		if err := cp.Includes(i, append(leaf, ' '), proof); !errors.Is(err, ledger.ErrTampered) {
			t.Fatalf("the proof of entry %d is one of another leaf: %v", i, err)
		}
	}
	if _, _, err := proofs.Entry(t.Context(), cp.Size); !errors.Is(err, ledger.ErrTampered) {
		t.Errorf("an entry behind the last: %v", err)
	}
	since, err := proofs.Since(three.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := cp.Continues(three, since); err != nil {
		t.Error(err)
	}
	if err := three.Continues(cp, since); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("%v, want %v", err, ledger.ErrRolledBack)
	}
	forked := *three
	forked.Root = slices.Clone(three.Root)
	forked.Root[0] ^= 1
	if err := cp.Continues(&forked, since); !errors.Is(err, ledger.ErrForked) {
		t.Errorf("%v, want %v", err, ledger.ErrForked)
	}
	if err := cp.Continues(three, nil); !errors.Is(err, ledger.ErrForked) {
		t.Errorf("no proof: %v, want %v", err, ledger.ErrForked)
	}
	for _, size := range []uint64{0, cp.Size + 1} {
		if _, err := proofs.Since(size); err == nil {
			t.Errorf("a proof from %d entries", size)
		}
	}
}

// Tiles are believed only where they lead to the checkpoint's root.
func TestProofsRefuseTamperedTiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(5)
	cp := w.mustAudit(nil)
	for name, part := range map[string]string{"hashes": "tile/0/", "entries": "tile/entries/"} {
		c := w.client(func(r *http.Request, status int, body []byte) (int, []byte) {
			if strings.Contains(r.URL.Path, part) {
				body = slices.Clone(body)
				body[len(body)-1] ^= 1
			}
			return status, body
		})
		if _, _, err := c.Proofs(t.Context(), cp).Entry(t.Context(), 4); err == nil {
			t.Errorf("tampered %s make a proof", name)
		}
	}
	if _, err := w.client(nil).Proofs(t.Context(), &client.Checkpoint{Size: 5, Root: []byte("short")}).Since(2); err == nil {
		t.Error("a root of 5 bytes has a proof")
	}
}
