package monitor

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	checkpoints "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
	"github.com/patchfit/patchfit/ledger/quorum"
	"github.com/patchfit/patchfit/ledger/tsa"
	"github.com/patchfit/patchfit/ledger/witness"
)

const origin = "log.example.org"

// A fake is a log that says whatever its test wants, and signs it: leaves are
// made when they are asked for, so that there can be a million of them.
type fake struct {
	t      testing.TB
	origin string
	key    ed25519.PrivateKey
	signer note.Signer
	vkey   string
	root   []byte // trusted_root.json

	mu       sync.Mutex
	leaf     func(i int64) []byte
	hashes   []tlog.Hash // as tlog stores them
	size     int64
	cosigned []byte // a checkpoint to show in place of the log's own
	reads    atomic.Int64
	tamper   func(w http.ResponseWriter, r *http.Request) bool
}

func newFake(t testing.TB) *fake { return newFakeOf(t, origin, time.Now().Add(-time.Hour)) }

func newFakeOf(t testing.TB, origin string, start time.Time) *fake {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	skey := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", origin, strings.Split(vkey, "+")[1], base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	tsaKey := newKey(t)
	chain, err := tsa.NewChain(tsaKey)
	if err != nil {
		t.Fatal(err)
	}
	root, err := ledger.TrustedRoot([]ledger.LogKey{{Origin: origin, Key: key.Public(), Start: start}}, chain)
	if err != nil {
		t.Fatal(err)
	}
	return &fake{t: t, origin: origin, key: key, signer: signer, vkey: vkey, root: root, leaf: func(i int64) []byte { return fmt.Appendf(nil, "entry %d", i) }}
}

// other is a log of the same key with another history from entry from on.
func (f *fake) other(from int64) *fake {
	o := &fake{t: f.t, origin: f.origin, key: f.key, signer: f.signer, vkey: f.vkey, root: f.root}
	o.leaf = func(i int64) []byte {
		if i < from {
			return f.leaf(i)
		}
		return fmt.Appendf(nil, "another entry %d", i)
	}
	return o
}

// ReadHashes implements [tlog.HashReader].
func (f *fake) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		list[i] = f.hashes[x]
	}
	return list, nil
}

func (f *fake) grow(n int64) *fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		more, err := tlog.StoredHashes(f.size, f.leaf(f.size), f)
		if err != nil {
			f.t.Fatal(err)
		}
		f.hashes = append(f.hashes, more...)
		f.size++
	}
	f.cosigned = nil
	return f
}

func (f *fake) checkpoint() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cosigned != nil {
		return f.cosigned
	}
	root, err := tlog.TreeHash(f.size, f)
	if err != nil {
		f.t.Fatal(err)
	}
	c := checkpoints.Checkpoint{Origin: f.origin, Size: uint64(f.size), Hash: root[:]}
	b, err := note.Sign(&note.Note{Text: string(c.Marshal())}, f.signer)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.reads.Add(1)
	if f.tamper != nil && f.tamper(w, r) {
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, ledger.ReadPath)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if name == "checkpoint" {
		w.Write(f.checkpoint())
		return
	}
	f.tile(w, r, name)
}

func (f *fake) tile(w http.ResponseWriter, r *http.Request, name string) {
	name = strings.Replace(strings.TrimPrefix(name, "tile/"), "entries/", "data/", 1)
	tile, err := tlog.ParseTilePath("tile/8/" + name)
	f.mu.Lock()
	defer f.mu.Unlock()
	level := max(tile.L, 0)
	if err != nil || (tile.N*256+int64(tile.W))<<(8*level) > f.size {
		http.NotFound(w, r)
		return
	}
	if tile.L < 0 {
		var b []byte
		for i := range int64(tile.W) {
			leaf := f.leaf(tile.N*256 + i)
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
		}
		w.Write(b)
		return
	}
	b, err := tlog.ReadTileData(tile, f)
	if err != nil {
		f.t.Error(err)
	}
	w.Write(b)
}

func (f *fake) serve() string {
	s := httptest.NewServer(f)
	f.t.Cleanup(s.Close)
	return s.URL
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// entryBy returns leaves that say a key signed something, each its own.
func entryBy(t testing.TB, k *ecdsa.PrivateKey) (attest.Digest, func(i int64) []byte) {
	t.Helper()
	public, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public.ID(), func(i int64) []byte {
		sum := sha256.Sum256(fmt.Appendf(nil, "statement %d", i))
		b, err := strictjson.Canonical(map[string]any{"apiVersion": ledger.EntryVersion, "kind": ledger.EntryKind, "spec": map[string]any{"hashedRekordV002": map[string]any{
			"data":      map[string]any{"algorithm": "SHA2_256", "digest": sum[:]},
			"signature": map[string]any{"content": fmt.Appendf(nil, "signature %d", i), "verifier": map[string]any{"keyDetails": "PKIX_ECDSA_P256_SHA_256", "publicKey": map[string]any{"rawBytes": public.DER()}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// A watch is a monitor, where it remembers, and what it told.
type watch struct {
	t      testing.TB
	fs     *disktest.FS
	root   []byte
	o      Options
	alerts []Alert
	m      *Monitor
}

func newWatch(t testing.TB, f *fake, o Options) *watch {
	t.Helper()
	w := &watch{t: t, fs: disktest.New(), root: f.root, o: o}
	if w.o.Lag == 0 {
		w.o.Lag = time.Millisecond
	}
	return w
}

// open opens the monitor on a log at url.
func (w *watch) open(url string) error {
	w.t.Helper()
	c, err := client.New(url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m, err = open(w.fs, Config{Dir: "/m", Log: c, TrustedRoot: w.root, Tell: func(_ context.Context, a Alert) error {
		w.alerts = append(w.alerts, a)
		return nil
	}}, &w.o)
	return err
}

// visit visits the log at url with a monitor that is opened for it.
func (w *watch) visit(url string) (*Report, error) {
	w.t.Helper()
	if err := w.open(url); err != nil {
		return nil, err
	}
	defer w.m.Close()
	return w.m.Visit(w.t.Context())
}

// quiet visits, and nothing is to be said.
func (w *watch) quiet(url string) *Report {
	w.t.Helper()
	r, err := w.visit(url)
	if err != nil || len(w.alerts) > 0 {
		w.t.Fatalf("%v: told %+v", err, w.alerts)
	}
	return r
}

// caught visits, and one alert of a kind has to come of it.
func (w *watch) caught(url string, kind Kind) Alert {
	w.t.Helper()
	w.alerts = nil
	r, err := w.visit(url)
	if err != nil || len(w.alerts) != 1 || w.alerts[0].Alert != kind {
		w.t.Fatalf("want %s, got error %v, alerts %+v", kind, err, w.alerts)
	}
	if r.Breach != kind.Breach() || r.Alerts != 1 {
		w.t.Errorf("reported %+v", r)
	}
	return w.alerts[0]
}

// kept returns the evidence of an alert.
func (w *watch) kept(a Alert) (files [][]byte) {
	w.t.Helper()
	for _, name := range a.Evidence {
		b, err := w.fs.ReadFile(name)
		if err != nil {
			w.t.Error(err)
		}
		files = append(files, b)
	}
	return files
}

// A court is witnesses of a log, of which two have to cosign.
type court struct {
	t         testing.TB
	witnesses []*witness.Witness
	policy    *quorum.Policy
	text      string
}

func newCourt(t testing.TB, f *fake) *court {
	t.Helper()
	c := &court{t: t}
	text := "log " + f.vkey + "\n"
	known, err := quorum.Parse([]byte(text + "quorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("w%d.example", i)
		w, err := witness.Open(t.TempDir(), name, key, known, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(w.Handler())
		t.Cleanup(func() { s.Close(); w.Close() })
		c.witnesses = append(c.witnesses, w)
		text += fmt.Sprintf("witness w%d %s %s\n", i, witness.VKey(name, key), s.URL)
	}
	c.text = text + "group two 2 w0 w1 w2\nquorum two\n"
	if c.policy, err = quorum.Parse([]byte(c.text)); err != nil {
		t.Fatal(err)
	}
	return c
}

// cosign lets witnesses cosign what f shows, which had old entries before, and
// f show that.
func (c *court) cosign(f *fake, old int64, which ...int) {
	c.t.Helper()
	shown := f.checkpoint()
	whole := slices.Clone(shown)
	var proof [][]byte
	if old > 0 && old < f.size {
		p, err := tlog.ProveTree(f.size, old, f)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, h := range p {
			proof = append(proof, slices.Clone(h[:]))
		}
	}
	for _, i := range which {
		lines, err := c.witnesses[i].Add(&witness.Request{Old: uint64(old), Proof: proof, Checkpoint: shown})
		if err != nil {
			c.t.Fatal(err)
		}
		whole = append(whole, lines...)
	}
	f.cosigned = whole
}

// signed is a checkpoint of a size the log does not have.
func (f *fake) signed(t testing.TB, size int64) []byte {
	t.Helper()
	c := checkpoints.Checkpoint{Origin: f.origin, Size: uint64(size), Hash: make([]byte, 32)}
	b, err := note.Sign(&note.Note{Text: string(c.Marshal())}, f.signer)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
