package tlog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tlog/tlogtest"
)

// TestProofsAreTesseras builds proofs for entries all over a log of three rows
// of tiles, full and partial, twice each, and compares them with Tessera's.
func TestProofsAreTesseras(t *testing.T) {
	h := newHouse(t)
	s, err := h.signer()
	if err != nil {
		t.Fatal(err)
	}
	const size = 66_321 // a tile of the third row, and a ragged edge everywhere
	if err := tlogtest.Fill(t.Context(), h.dir, s, size); err != nil {
		t.Fatal(err)
	}
	files := Disk(h.dir)
	last := newLatest([]ledger.LogKey{h.logKey()}, files)
	cp, err := last.read(t.Context())
	if err != nil || cp.Size != size {
		t.Fatalf("%+v, %v", cp, err)
	}
	ours := newTiles(files)
	theirs, err := client.NewProofBuilder(t.Context(), cp.Size, files.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{files: files, latest: last}
	var indices []uint64
	for i := uint64(0); i < size; i += 997 {
		indices = append(indices, i, i/256*256, min(i/256*256+255, size-1))
	}
	for _, i := range append(indices, 65_535, 65_536, 66_303, 66_304, size-2, size-1) {
		want, err := theirs.InclusionProof(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := ours.proof(t.Context(), i, cp.Size)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Fatalf("entry %d: %v (-tessera +ours)\n%s", i, err, d)
			}
			body, err := l.Leaf(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, i, cp.Size, ledger.EntryHash(body), got, cp.Root); err != nil {
				t.Fatalf("entry %d: %v", i, err)
			}
		}
	}
	if _, err := ours.proof(t.Context(), size, cp.Size); err == nil {
		t.Error("what is not in the log was proven")
	}
}

func TestBadTiles(t *testing.T) {
	for _, n := range []int{1, 31, 33, 257 * 32} {
		if _, err := newRows(make([]byte, n)); err == nil {
			t.Errorf("a tile of %d bytes was taken", n)
		}
	}
}
