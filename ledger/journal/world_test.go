package journal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
	"github.com/sigstore/sigstore/pkg/signature"
)

var testSigner = sync.OnceValue(newSigner)

func newSigner() signature.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	s, err := signature.LoadECDSASigner(key, crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return s
}

const testDir = "/var/journal"

// A world is everything a journal stands on. Its store and its log are
// somewhere else: they survive every crash, but their operations break with
// the file system's.
type world struct {
	fs    *disktest.FS
	blobs map[attest.Digest][]byte
	log   [][]byte
	mu    *sync.Mutex

	acked []ledger.Record         // what Append returned
	seen  map[int64]ledger.Record // what was ever applied, by sequence
	order []int64                 // of this process's apply
}

func newWorld() *world {
	return &world{fs: disktest.New(), blobs: make(map[attest.Digest][]byte), mu: new(sync.Mutex), seen: make(map[int64]ledger.Record)}
}

// after returns a copy of w that goes on with the file system fs.
func (w *world) after(fs *disktest.FS) *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &world{fs: fs, blobs: maps.Clone(w.blobs), log: slices.Clone(w.log), mu: new(sync.Mutex),
		acked: slices.Clone(w.acked), seen: maps.Clone(w.seen)}
}

func (w *world) Put(b []byte) (attest.Digest, error) {
	d := attest.DigestOf(b)
	return d, w.fs.Do("put", "blob", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.blobs[d] = slices.Clone(b)
		return nil
	})
}

func (w *world) Get(d attest.Digest) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.blobs[d]
	if !ok || attest.DigestOf(b) != d {
		return nil, errors.New("no such blob: " + string(d))
	}
	return b, nil
}

func (w *world) Count(attest.Digest) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.log))
}

func (w *world) Add(_ context.Context, envelope []byte, key *attest.PublicKey) (index int64, err error) {
	e, err := attest.ParseEnvelope(envelope, attest.SegmentPayload)
	if err != nil {
		return 0, err
	}
	if err := e.Verify(key); err != nil {
		return 0, err
	}
	err = w.fs.Do("log", "leaf", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, leaf := range w.log {
			if string(leaf) == string(envelope) {
				index = int64(i)
				return nil
			}
		}
		w.log = append(w.log, slices.Clone(envelope))
		index = int64(len(w.log) - 1)
		return nil
	})
	return index, err
}

func (w *world) apply(r ledger.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.seen[r.Sequence]; ok {
		if diff := cmp.Diff(before, r); diff != "" {
			return fmt.Errorf("record %d is another one now: %s", r.Sequence, diff)
		}
	}
	w.seen[r.Sequence] = r
	w.order = append(w.order, r.Sequence)
	return nil
}

func (w *world) open(o *Options) (*Journal, error) {
	w.order = nil
	return open(disk.FS(w.fs), &Journal{dir: testDir, store: w, signer: testSigner(), log: w, apply: w.apply}, o)
}

func (w *world) mustOpen(t *testing.T) *Journal {
	t.Helper()
	j, err := w.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func tag(n int) ledger.TagMoved {
	return ledger.TagMoved{Repository: "lib/demo", Tag: fmt.Sprintf("v%d", n), Digest: attest.DigestOf([]byte{byte(n)}), By: "ci"}
}

func mustAppend(t *testing.T, j *Journal, n int) ledger.Record {
	t.Helper()
	r, err := j.Append(t.Context(), ledger.KindTag, tag(n))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func allRecords(j *Journal, from int64) (out []ledger.Record, err error) {
	for r, err := range j.Records(from) {
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

// audit opens the journal of w as a new process would, looks at everything
// there is, and then goes on. It must run in a synctest bubble.
func (w *world) audit(t *testing.T, when string) {
	t.Helper()
	j, err := w.open(nil)
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Errorf("%s: closing: %v", when, err)
		}
	}()
	w.auditRecords(t, when, j)
	if _, err := j.Append(t.Context(), ledger.KindTag, tag(99)); err != nil {
		t.Errorf("%s: does not go on: %v", when, err)
	}
	if err := j.Seal(t.Context()); err != nil {
		t.Errorf("%s: does not seal: %v", when, err)
	}
	synctest.Wait() // for the tidying
	w.auditSealed(t, when, j)
}

func (w *world) auditRecords(t *testing.T, when string, j *Journal) {
	t.Helper()
	records, err := allRecords(j, 1)
	if err != nil {
		t.Errorf("%s: reading: %v", when, err)
	}
	if err := j.Verify(t.Context()); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	have := make(map[int64]ledger.Record)
	for i, r := range records {
		have[r.Sequence] = r
		if w.order[i] != r.Sequence || r.Sequence != int64(i)+1 {
			t.Errorf("%s: record %d is read in place %d, applied in place %d", when, r.Sequence, i+1, w.order[i])
		}
	}
	for _, r := range w.acked {
		if diff := cmp.Diff(r, have[r.Sequence]); diff != "" {
			t.Errorf("%s: acknowledged record %d: (-acknowledged +read)\n%s", when, r.Sequence, diff)
		}
	}
	for n := range w.seen {
		if _, ok := have[n]; !ok {
			t.Errorf("%s: record %d was applied once and is gone", when, n)
		}
	}
}

// auditSealed: with everything sealed, every segment is in the store, is one
// leaf, and has no file.
func (w *world) auditSealed(t *testing.T, when string, j *Journal) {
	t.Helper()
	leaves := make(map[int64]int)
	for _, leaf := range w.log {
		e, err := attest.ParseEnvelope(leaf, attest.SegmentPayload)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ledger.ParseSegmentStatement(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		leaves[s.Number]++
	}
	seals := j.Seals()
	for i, s := range seals {
		if n := leaves[int64(i)+1]; n != 1 {
			t.Errorf("%s: segment %d is %d leaves", when, i+1, n)
		}
		if s.Index >= int64(len(w.log)) || attest.DigestOf(w.log[s.Index]) != s.Envelope {
			t.Errorf("%s: leaf %d is not segment %d", when, s.Index, i+1)
		}
	}
	if len(leaves) != len(seals) || seals[len(seals)-1].Statement.Last != j.Last() {
		t.Errorf("%s: %d leaves, %d seals up to record %d of %d", when, len(leaves), len(seals), seals[len(seals)-1].Statement.Last, j.Last())
	}
	for _, name := range w.fs.Files(testDir) {
		if strings.HasSuffix(name, segmentSuffix) || strings.HasSuffix(name, sealSuffix) {
			t.Errorf("%s: %s is still there", when, name)
		}
	}
	w.auditRecords(t, when+", sealed", j)
}
