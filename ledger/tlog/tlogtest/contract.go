package tlogtest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// A World is a place where one log is kept, for one test.
type World struct {
	Key ledger.LogKey // whose checkpoints are the log's
	// Open opens the log, one at a time. What was logged before is there.
	Open func(Options) (backend.Log, error)
	// Damage changes a byte of a leaf where the log is kept, while it is closed.
	// Nil where somebody else keeps it, whose matter that is.
	Damage func() error
}

// Options of one opening.
type Options struct {
	Allowed func(key attest.Digest) bool
	// Stalled: what is added does not get into the tree as long as the test
	// takes, and no more than MaxWaiting entries wait.
	Stalled bool
}

// Run tests the contract of [backend.Log]. make is called once a test, for a
// log that is empty.
func Run(t *testing.T, make func(testing.TB) World) {
	for name, test := range map[string]func(*contract){
		"an entry proves itself":             (*contract).entries,
		"tiles make the checkpoint":          (*contract).tiles,
		"a duplicate is one entry":           (*contract).duplicates,
		"many write at once":                 (*contract).concurrent,
		"a log goes on after a restart":      (*contract).restart,
		"strangers and bad entries stay out": (*contract).strangers,
		"who waits can stop waiting":         (*contract).patience,
		"busy is said":                       (*contract).busy,
		"closed is said":                     (*contract).closed,
		"damage is said":                     (*contract).damage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&contract{T: t, world: make(t)})
		})
	}
}

// A contract is one test of it.
type contract struct {
	*testing.T
	world World
}

func (c *contract) open(o Options) backend.Log {
	c.Helper()
	if o.Allowed == nil {
		o.Allowed = func(attest.Digest) bool { return true }
	}
	l, err := c.world.Open(o)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = l.Close(ctx) // most are closed already, and some stalled
	})
	return l
}

func (c *contract) shut(l backend.Log) {
	c.Helper()
	if err := l.Close(c.Context()); err != nil {
		c.Fatal(err)
	}
}

// add wants req to be logged and checks everything in the answer.
func (c *contract) add(l backend.Log, req *pb.HashedRekordRequestV002, wantDuplicate bool) int64 {
	c.Helper()
	e, dup, err := l.Add(c.Context(), req)
	if err != nil {
		c.Fatal(err)
	}
	if dup != wantDuplicate {
		c.Errorf("entry %d: duplicate %v, want %v", e.GetLogIndex(), dup, wantDuplicate)
	}
	c.proven(e, req)
	return e.GetLogIndex()
}

func (c *contract) proven(e *rekor.TransparencyLogEntry, req *pb.HashedRekordRequestV002) {
	c.Helper()
	v, err := c.world.Key.Verifier()
	if err != nil {
		c.Fatal(err)
	}
	if err := rekorverify.VerifyLogEntry(e, v); err != nil {
		c.Error(err)
	}
	if body, err := ledger.LeafBody(req); err != nil || string(body) != string(e.GetCanonicalizedBody()) {
		c.Errorf("leaf %s, want %s (%v)", e.GetCanonicalizedBody(), body, err)
	}
	if id, err := c.world.Key.ID(); err != nil || string(id) != string(e.GetLogId().GetKeyId()) {
		c.Errorf("entry is of log %x, want %x (%v)", e.GetLogId().GetKeyId(), id, err)
	}
	if e.GetLogIndex() != e.GetInclusionProof().GetLogIndex() {
		c.Errorf("entry %d, proof of %d", e.GetLogIndex(), e.GetInclusionProof().GetLogIndex())
	}
}

func (c *contract) size(l backend.Log, want uint64) {
	c.Helper()
	n, err := l.Size(c.Context())
	published, at, perr := l.Published()
	if n != want || published != want || errors.Join(err, perr) != nil || time.Since(at) > time.Hour {
		c.Errorf("size %d, %v; published %d at %v, %v; want %d, just now", n, err, published, at, perr, want)
	}
}

func (c *contract) entries() {
	l := c.open(Options{})
	s := NewSigner(c)
	for i := range int64(3) {
		req := s.Leaf(c, fmt.Sprint("entry ", i))
		if got := c.add(l, req, false); got != i {
			c.Errorf("entry %d is at %d", i, got)
		}
		body, _ := ledger.LeafBody(req)
		if leaf, err := l.Leaf(c.Context(), uint64(i)); err != nil || string(leaf) != string(body) {
			c.Errorf("leaf %d is %s, %v", i, leaf, err)
		}
	}
	c.size(l, 3)
	if _, err := l.Leaf(c.Context(), 3); err == nil {
		c.Error("a leaf that is not there was read")
	}
	if mine, others := l.Count(s.key.ID()), l.Count(NewSigner(c).key.ID()); mine != 3 || others != 0 {
		c.Errorf("counted %d and %d, want 3 and 0", mine, others)
	}
}

func (c *contract) tiles() {
	l := c.open(Options{})
	s := NewSigner(c)
	c.many(l, s, layout.EntryBundleWidth+3)
	cp, err := l.Checkpoint(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	c.rooted(l, cp)
	for _, path := range []string{
		"tile/entries/001.p/4", "tile/0/001.p/4", "tile/0/002", "tile/1/001", "tile/entries/1.p/3", "tile/entries/001.p/03", "tile/../checkpoint", "checkpoint", "", "tile/0/x001/000", ".state/treeState",
	} {
		if b, err := l.Read(c.Context(), path); !errors.Is(err, fs.ErrNotExist) {
			c.Errorf("%q: %d bytes, %v, want fs.ErrNotExist", path, len(b), err)
		}
	}
}

// rooted makes the root of cp from the tiles of entries, and compares those of
// hashes.
func (c *contract) rooted(l backend.Log, cp *ledger.Checkpoint) {
	c.Helper()
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for n := uint64(0); n*layout.EntryBundleWidth < cp.Size; n++ {
		width := layout.PartialTileSize(0, n, cp.Size)
		raw, err := l.Read(c.Context(), layout.EntriesPath(n, width))
		hashes, herr := l.Read(c.Context(), layout.TilePath(0, n, width))
		var b api.EntryBundle
		if err := errors.Join(err, herr, b.UnmarshalText(raw)); err != nil {
			c.Fatal(err)
		}
		var level []byte
		for _, leaf := range b.Entries {
			level = append(level, ledger.EntryHash(leaf)...)
			if err := tree.Append(ledger.EntryHash(leaf), nil); err != nil {
				c.Fatal(err)
			}
		}
		if string(level) != string(hashes) {
			c.Errorf("tile %d of hashes is not that of its entries", n)
		}
	}
	if root, err := tree.GetRootHash(nil); err != nil || string(root) != string(cp.Root) {
		c.Errorf("entries make the root %x (%v), the checkpoint of %d says %x", root, err, cp.Size, cp.Root)
	}
}

func (c *contract) duplicates() {
	l := c.open(Options{})
	s := NewSigner(c)
	a, b := s.Leaf(c, "a"), s.Leaf(c, "b")
	first := c.add(l, a, false)
	second := c.add(l, b, false)
	if got := c.add(l, a, true); got != first {
		c.Errorf("duplicate is entry %d, want %d", got, first)
	}
	c.shut(l)
	l = c.open(Options{})
	if got := c.add(l, b, true); got != second {
		c.Errorf("after a restart entry %d is %d", second, got)
	}
	last := c.add(l, s.Leaf(c, "c"), false)
	e, _, err := l.Add(c.Context(), a)
	if err != nil || e.GetInclusionProof().GetTreeSize() != last+1 {
		c.Errorf("proof is for %d entries (%v), want a fresh one for %d", e.GetInclusionProof().GetTreeSize(), err, last+1)
	}
	c.size(l, 3)
	if n := l.Count(s.key.ID()); n != 3 {
		c.Errorf("%d leaves of the key, want 3", n)
	}
}

// many adds n different entries at once, each twice, and returns them where
// they are.
func (c *contract) many(l backend.Log, s *Signer, n int) []*pb.HashedRekordRequestV002 {
	c.Helper()
	placed := make([]*pb.HashedRekordRequestV002, n)
	var mu sync.Mutex
	fresh := 0
	var wg sync.WaitGroup
	for i := range n {
		req := s.Leaf(c, fmt.Sprint("one of many, ", i))
		for range 2 {
			wg.Go(func() {
				e, dup, err := l.Add(c.Context(), req)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					c.Error(err)
					return
				}
				if !dup {
					fresh++
				}
				c.proven(e, req)
				if at := e.GetLogIndex(); at >= int64(n) || placed[at] != nil && placed[at] != req {
					c.Errorf("entry %d is beyond %d, or another's", at, n)
				} else {
					placed[at] = req
				}
			})
		}
	}
	wg.Wait()
	if fresh != n || slices.Contains(placed, nil) {
		c.Fatalf("%d of %d entries were new; every index has one: %v", fresh, n, !slices.Contains(placed, nil))
	}
	return placed
}

func (c *contract) concurrent() {
	l := c.open(Options{})
	s := NewSigner(c)
	placed := c.many(l, s, 64)
	c.shut(l)
	l = c.open(Options{})
	for i, req := range placed[:8] {
		if got := c.add(l, req, true); got != int64(i) {
			c.Errorf("after a restart entry %d is at %d", i, got)
		}
	}
	c.size(l, 64)
}

func (c *contract) restart() {
	s := NewSigner(c)
	var before *ledger.Checkpoint
	for i := range int64(3) {
		l := c.open(Options{})
		if got := c.add(l, s.Leaf(c, fmt.Sprint("run ", i)), false); got != i {
			c.Errorf("entry %d is at %d", i, got)
		}
		cp, err := l.Checkpoint(c.Context())
		if err != nil {
			c.Fatal(err)
		}
		if _, err := ledger.OpenCheckpoint(cp.Raw, []ledger.LogKey{c.world.Key}); err != nil {
			c.Error(err)
		}
		if before != nil {
			if err := before.Precedes(cp); err != nil {
				c.Error(err)
			}
			c.rooted(l, before)
		}
		before = cp
		c.shut(l)
	}
}

func (c *contract) strangers() {
	s, other := NewSigner(c), NewSigner(c)
	l := c.open(Options{Allowed: func(k attest.Digest) bool { return k == s.key.ID() }})
	c.add(l, s.Leaf(c, "known"), false)
	if _, _, err := l.Add(c.Context(), other.Leaf(c, "unknown")); !errors.Is(err, backend.ErrStranger) {
		c.Errorf("a stranger: %v, want ErrStranger", err)
	}
	forged := other.Leaf(c, "forged")
	forged.Signature.Verifier = s.Leaf(c, "mine").Signature.Verifier
	if _, _, err := l.Add(c.Context(), forged); !errors.Is(err, backend.ErrBadEntry) {
		c.Errorf("a signature by another key: %v, want ErrBadEntry", err)
	}
	if _, _, err := l.Add(c.Context(), &pb.HashedRekordRequestV002{}); !errors.Is(err, backend.ErrBadEntry) {
		c.Errorf("nothing: %v, want ErrBadEntry", err)
	}
	c.size(l, 1)
}

func (c *contract) patience() {
	l := c.open(Options{})
	s := NewSigner(c)
	req := s.Leaf(c, "left alone")
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	if _, _, err := l.Add(ctx, req); !errors.Is(err, context.Canceled) {
		c.Errorf("%v, want context.Canceled", err)
	}
	e, _, err := l.Add(c.Context(), req)
	if err != nil {
		c.Fatal(err)
	}
	c.proven(e, req)
	if got := c.add(l, s.Leaf(c, "next"), false); got != e.GetLogIndex()+1 {
		c.Errorf("the next entry is %d, the one before %d", got, e.GetLogIndex())
	}
}

// MaxWaiting is how many entries a stalled log lets wait.
const MaxWaiting = 64

func (c *contract) busy() {
	l := c.open(Options{Stalled: true})
	s := NewSigner(c)
	gone, cancel := context.WithCancel(c.Context())
	cancel()
	for i := range MaxWaiting + 1 {
		switch _, _, err := l.Add(gone, s.Leaf(c, fmt.Sprint(i))); {
		case errors.Is(err, backend.ErrBusy):
			return
		case !errors.Is(err, context.Canceled):
			c.Fatalf("entry %d: %v, want context.Canceled or ErrBusy", i, err)
		}
	}
	c.Errorf("%d entries wait, and the log takes more", MaxWaiting)
}

func (c *contract) closed() {
	l := c.open(Options{})
	s := NewSigner(c)
	known := s.Leaf(c, "known")
	c.add(l, known, false)
	c.shut(l)
	if _, _, err := l.Add(c.Context(), s.Leaf(c, "new")); !errors.Is(err, backend.ErrClosed) {
		c.Errorf("%v, want ErrClosed", err)
	}
	c.add(l, known, true)
	c.shut(l)
	if _, err := l.Leaf(c.Context(), 0); err != nil {
		c.Errorf("reading a closed log: %v", err)
	}
}

func (c *contract) damage() {
	if c.world.Damage == nil {
		return // somebody else's matter: what comes back is verified by every other test
	}
	l := c.open(Options{})
	c.add(l, NewSigner(c).Leaf(c, "soon damaged"), false)
	c.shut(l)
	if err := c.world.Damage(); err != nil {
		c.Fatal(err)
	}
	if _, err := c.world.Open(Options{}); !errors.Is(err, backend.ErrCorrupt) {
		c.Errorf("opening a damaged log: %v, want ErrCorrupt", err)
	}
}

// A Signer signs entries.
type Signer struct {
	signer signature.Signer
	key    *attest.PublicKey
}

// NewSigner returns a signer with a new key.
func NewSigner(t testing.TB) *Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, serr := signature.LoadSigner(k, crypto.SHA256)
	pub, err := attest.NewPublicKey(k.Public())
	if err := errors.Join(serr, err); err != nil {
		t.Fatal(err)
	}
	return &Signer{signer: s, key: pub}
}

// Leaf returns a new entry, signed; the same payload again is another entry.
func (s *Signer) Leaf(t testing.TB, payload string) *pb.HashedRekordRequestV002 {
	t.Helper()
	b, err := attest.SignEnvelope("text/plain", []byte(payload), s.signer)
	if err != nil {
		t.Fatal(err)
	}
	e, err := attest.ParseEnvelope(b, "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ledger.Leaf(e, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}
