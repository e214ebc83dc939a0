package tlog

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

const origin = "log.example.org"

// A house is a log on disk that can be opened again.
type house struct {
	t    testing.TB
	dir  string
	key  ed25519.PrivateKey
	opts Options

	oldTree, oldCheckpoint []byte
}

func newHouse(t testing.TB) *house {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &house{t: t, dir: t.TempDir(), key: key, opts: Options{
		Allowed:  func(attest.Digest) bool { return true },
		BatchAge: time.Millisecond,
	}}
}

func (h *house) open() *Log {
	h.t.Helper()
	l, err := Open(h.t.Context(), h.dir, origin, h.key, &h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		l.Close(ctx)
	})
	return l
}

// refused opens the log and wants it not to open, for want.
func (h *house) refused(want error) {
	h.t.Helper()
	l, err := Open(h.t.Context(), h.dir, origin, h.key, &h.opts)
	if err == nil {
		l.Close(context.Background())
	}
	if !errors.Is(err, want) {
		h.t.Errorf("opening: %v, want %v", err, want)
	}
}

func closed(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (h *house) logKey() ledger.LogKey {
	return ledger.LogKey{Origin: origin, Key: h.key.Public()}
}

func newSigner(t testing.TB) (signature.Signer, *attest.PublicKey) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signerOf(t, k)
}

func signerOf(t testing.TB, k crypto.Signer) (signature.Signer, *attest.PublicKey) {
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return s, pub
}

func newLeaf(t testing.TB, s signature.Signer, pub *attest.PublicKey, payload string) *pb.HashedRekordRequestV002 {
	t.Helper()
	b, err := attest.SignEnvelope("text/plain", []byte(payload), s)
	if err != nil {
		t.Fatal(err)
	}
	e, err := attest.ParseEnvelope(b, "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ledger.Leaf(e, pub)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func leaf(t testing.TB) *pb.HashedRekordRequestV002 {
	s, pub := newSigner(t)
	return newLeaf(t, s, pub, "hello")
}

func add(t testing.TB, l *Log, req *pb.HashedRekordRequestV002, wantDuplicate bool) int64 {
	t.Helper()
	e, dup, err := l.Add(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if dup != wantDuplicate {
		t.Errorf("entry %d: duplicate %v, want %v", e.GetLogIndex(), dup, wantDuplicate)
	}
	return e.GetLogIndex()
}

func TestEntryProves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	v, err := h.logKey().Verifier()
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		req := leaf(t)
		e, dup, err := l.Add(t.Context(), req)
		if err != nil || dup {
			t.Fatal(dup, err)
		}
		if err := rekorverify.VerifyLogEntry(e, v); err != nil {
			t.Error(err)
		}
		if e.GetLogIndex() != i || e.GetInclusionProof().GetLogIndex() != i {
			t.Errorf("entry %d is at %d, its proof at %d", i, e.GetLogIndex(), e.GetInclusionProof().GetLogIndex())
		}
		body, err := ledger.LeafBody(req)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := l.Leaf(t.Context(), uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(body), string(e.GetCanonicalizedBody())) + cmp.Diff(string(body), string(stored)); d != "" {
			t.Error(d)
		}
	}
	if _, err := l.Leaf(t.Context(), 3); err == nil {
		t.Error("a leaf that is not there was read")
	}
	if n, err := l.Size(t.Context()); n != 3 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	a, b := leaf(t), leaf(t)
	add(t, l, a, false)
	old := add(t, l, b, false)
	if i := add(t, l, b, true); i != old {
		t.Errorf("duplicate is entry %d, want %d", i, old)
	}
	closed(t, l)
	l = h.open()
	c := add(t, l, leaf(t), false)
	e, dup, err := l.Add(t.Context(), b)
	if err != nil || !dup || e.GetLogIndex() != old {
		t.Fatalf("after a restart: entry %d, duplicate %v, %v", e.GetLogIndex(), dup, err)
	}
	if size := e.GetInclusionProof().GetTreeSize(); size != c+1 {
		t.Errorf("proof is for a tree of %d entries, want a fresh one for %d", size, c+1)
	}
	if n, _ := l.Size(t.Context()); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

// everybody calls f n times at once.
func everybody(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func TestConcurrentDuplicates(t *testing.T) {
	t.Parallel()
	l := newHouse(t).open()
	req := leaf(t)
	const n = 32
	var mu sync.Mutex
	firsts, indexes := 0, map[int64]bool{}
	everybody(n, func(int) {
		e, dup, err := l.Add(t.Context(), req)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Error(err)
		}
		if !dup {
			firsts++
		}
		indexes[e.GetLogIndex()] = true
	})
	if size, _ := l.Size(t.Context()); firsts != 1 || len(indexes) != 1 || size != 1 {
		t.Errorf("%d writers: %d wrote, indexes %v, %d entries", n, firsts, indexes, size)
	}
}

// TestConcurrentWriters fills more than one bundle of entries, restarts, and
// wants every entry where it was.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	s, pub := newSigner(t)
	const n = 300
	reqs, indexes := make([]*pb.HashedRekordRequestV002, n), make([]int64, n)
	for i := range reqs {
		reqs[i] = newLeaf(t, s, pub, fmt.Sprint(i))
	}
	everybody(n, func(i int) {
		e, dup, err := l.Add(t.Context(), reqs[i])
		if err != nil || dup {
			t.Error(dup, err)
			return
		}
		indexes[i] = e.GetLogIndex()
	})
	sorted := slices.Clone(indexes)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != n || sorted[0] != 0 || sorted[n-1] != n-1 {
		t.Fatalf("indexes are not 0 to %d", n-1)
	}
	closed(t, l)
	l = h.open()
	for i, req := range reqs {
		if got := add(t, l, req, true); got != indexes[i] {
			t.Errorf("after a restart entry %d is at %d", indexes[i], got)
		}
	}
}

// TestUnpublished has the disk as a crash leaves it between steps 3 and 5: an
// entry is in the tree, but in no checkpoint.
func TestUnpublished(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.open()
	add(t, l, leaf(t), false)
	checkpoint := filepath.Join(h.dir, "checkpoint")
	before, err := os.ReadFile(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	b := leaf(t)
	at := add(t, l, b, false)
	closed(t, l)
	if err := os.WriteFile(checkpoint, before, 0o644); err != nil {
		t.Fatal(err)
	}
	l = h.open()
	if n, _ := l.Size(t.Context()); n != 2 {
		t.Errorf("checkpoint of %d entries, want 2", n)
	}
	if got := add(t, l, b, true); got != at {
		t.Errorf("entry %d is now %d", at, got)
	}
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s, pub := newSigner(t)
	h.opts.Allowed = func(k attest.Digest) bool { return k == pub.ID() }
	l := h.open()
	add(t, l, newLeaf(t, s, pub, "known"), false)
	other, otherPub := newSigner(t)
	_, _, err := l.Add(t.Context(), newLeaf(t, other, otherPub, "unknown"))
	if !errors.Is(err, ErrStranger) || !strings.Contains(err.Error(), string(otherPub.ID())) || !strings.Contains(err.Error(), "patchfit trust") {
		t.Errorf("%v, want a refusal that names the key and what to do", err)
	}
	forged := newLeaf(t, other, otherPub, "forged")
	forged.Signature.Verifier = newLeaf(t, s, pub, "x").Signature.Verifier
	if _, _, err := l.Add(t.Context(), forged); !errors.Is(err, ErrBadEntry) {
		t.Errorf("signature of a stranger with a known key: %v, want ErrBadEntry", err)
	}
	if n, _ := l.Size(t.Context()); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	h2 := newHouse(t)
	h2.opts.Allowed = nil
	if _, _, err := h2.open().Add(t.Context(), newLeaf(t, s, pub, "x")); !errors.Is(err, ErrStranger) {
		t.Errorf("log that knows nobody: %v, want ErrStranger", err)
	}
}

func TestBusyAndClosed(t *testing.T) {
	t.Parallel()
	l := newHouse(t).open()
	known := leaf(t)
	add(t, l, known, false)
	l.mu.Lock()
	for i := range DefaultWaiting {
		l.flying[leafHash{byte(i), byte(i >> 8)}] = &flight{done: make(chan struct{})}
	}
	l.mu.Unlock()
	if _, _, err := l.Add(t.Context(), leaf(t)); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	add(t, l, known, true)
	l.mu.Lock()
	clear(l.flying)
	l.mu.Unlock()
	closed(t, l)
	if _, _, err := l.Add(t.Context(), leaf(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	add(t, l, known, true)
	closed(t, l)
}

func TestBadOpen(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, name := range []string{"", "Log.example.org", "log.example.org:80", "log/x", "a b", strings.Repeat("a.", 130) + "a"} {
		if _, err := Open(t.Context(), h.dir, name, h.key, nil); err == nil {
			t.Errorf("origin %q was taken", name)
		}
	}
	if _, err := Open(t.Context(), h.dir, origin, nil, nil); err == nil {
		t.Error("no key was taken")
	}
}
