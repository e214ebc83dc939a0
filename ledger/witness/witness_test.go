package witness

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	random "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	checkpoints "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
	"github.com/patchfit/patchfit/ledger/quorum"
)

const (
	origin = "log.example"
	name   = "witness.example/one"
	dir    = "/w"
)

// A fork is a log: a key, and leaves of its own choice.
type fork struct {
	t    testing.TB
	key  note.Signer
	vkey string
	tree *testonly.Tree
}

func newFork(t testing.TB, origin string) *fork {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &fork{t: t, key: key, vkey: vkey, tree: testonly.New(rfc6962.DefaultHasher)}
}

// other is the same log with another history: same key, other leaves.
func (f *fork) other() *fork {
	return &fork{t: f.t, key: f.key, vkey: f.vkey, tree: testonly.New(rfc6962.DefaultHasher)}
}

func (f *fork) grow(n int, leaf string) *fork {
	for range n {
		f.tree.AppendData([]byte(leaf))
	}
	return f
}

func (f *fork) checkpoint() []byte {
	f.t.Helper()
	c := checkpoints.Checkpoint{Origin: f.key.Name(), Size: f.tree.Size(), Hash: f.tree.Hash()}
	b, err := note.Sign(&note.Note{Text: string(c.Marshal())}, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// since asks for a cosignature of what the log is now, from old entries on.
func (f *fork) since(old uint64) *Request {
	f.t.Helper()
	r := &Request{Old: old, Checkpoint: f.checkpoint()}
	if old > 0 && old < f.tree.Size() {
		proof, err := f.tree.ConsistencyProof(old, f.tree.Size())
		if err != nil {
			f.t.Fatal(err)
		}
		r.Proof = proof
	}
	return r
}

var witnessKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func policyOf(t testing.TB, logs ...*fork) *quorum.Policy {
	t.Helper()
	text := ""
	for _, l := range logs {
		text += "log " + l.vkey + "\n"
	}
	p, err := quorum.Parse([]byte(text + "quorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newDisk(t testing.TB) *disktest.FS {
	t.Helper()
	f := disktest.New()
	if err := errors.Join(f.Mkdir(dir), f.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	return f
}

func reopen(t testing.TB, f *disktest.FS, logs ...*fork) *Witness {
	t.Helper()
	w, err := open(f, dir, name, witnessKey, policyOf(t, logs...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// pinned verifies a cosigned checkpoint as a host does that pins this witness.
func pinned(t testing.TB, l *fork, checkpoint, lines []byte) {
	t.Helper()
	p, err := quorum.Parse([]byte("log " + l.vkey + "\nwitness w " + VKey(name, witnessKey) + "\nquorum w\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(append(bytes.Clone(checkpoint), lines...)); err != nil {
		t.Errorf("the cosignature does not verify: %v", err)
	}
}

func TestAdd(t *testing.T) {
	l, f := newFork(t, origin).grow(3, "a"), newDisk(t)
	w := reopen(t, f, l)
	ask := func(old uint64) {
		t.Helper()
		r := l.since(old)
		lines, err := w.Add(r)
		if err != nil {
			t.Fatalf("from %d: %v", old, err)
		}
		pinned(t, l, r.Checkpoint, lines)
	}
	ask(0)
	before := len(f.Ops())
	ask(3) // nothing is new
	if done := f.Ops()[before:]; len(done) > 0 {
		t.Errorf("anybody can repeat a checkpoint, and has the disk do %v", done)
	}
	l.grow(4, "b")
	ask(3)
	ask(7)
	if got := w.Last(originHash(origin)); !bytes.Contains(got, []byte("\n7\n")) {
		t.Errorf("last is %q", got)
	}
	if w.Last(originHash("elsewhere.example")) != nil {
		t.Error("there is a checkpoint of a log nobody knows")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, f.Cut(), l)
	if _, err := again.Add(l.other().grow(9, "x").since(7)); !errors.Is(err, ErrDisproved) {
		t.Errorf("after a restart it takes another history: %v", err)
	}
}

func TestAddRefuses(t *testing.T) {
	l := newFork(t, origin).grow(5, "a")
	stranger := newFork(t, origin).grow(8, "a") // another key under this name
	nobody := newFork(t, "elsewhere.example").grow(8, "a")
	first := l.since(0)
	l.grow(3, "b")
	for _, tt := range []struct {
		name string
		do   func() *Request
		want error
	}{
		{"an unknown log", func() *Request { return nobody.since(0) }, ErrUnknownLog},
		{"another key", func() *Request { return stranger.since(5) }, ledger.ErrUnsigned},
		{"a signature over something else", func() *Request {
			r := l.since(5)
			r.Checkpoint = bytes.Replace(r.Checkpoint, []byte("\n8\n"), []byte("\n9\n"), 1)
			return r
		}, ledger.ErrUnsigned},
		{"nothing", func() *Request { return &Request{} }, ErrUnknownLog},
		{"a start beyond the end", func() *Request { return l.since(9) }, ErrBadRequest},
		{"a start before the last", func() *Request { return l.since(2) }, ErrConflict},
		{"a start after the last", func() *Request { return l.since(6) }, ErrConflict},
		{"from nothing, again", func() *Request { return l.since(0) }, ErrConflict},
		{"no proof", func() *Request { r := l.since(5); r.Proof = nil; return r }, ErrDisproved},
		{"another proof", func() *Request { r := l.since(5); r.Proof[0] = make([]byte, 32); return r }, ErrDisproved},
		{"a longer proof", func() *Request { r := l.since(5); r.Proof = append(r.Proof, make([]byte, 32)); return r }, ErrDisproved},
		{"a rollback", func() *Request { return l.other().grow(4, "a").since(4) }, ErrConflict},
		{"a rollback that knows the size", func() *Request { r := l.other().grow(4, "a").since(4); r.Old = 5; return r }, ErrBadRequest},
		{"a split view of the same size", func() *Request { return l.other().grow(5, "x").since(5) }, ErrDisproved},
		{"a split view that is larger", func() *Request { return l.other().grow(8, "x").since(5) }, ErrDisproved},
		{"a replaced leaf", func() *Request { return l.other().grow(4, "a").grow(1, "x").grow(3, "b").since(5) }, ErrDisproved},
		{"the same, with a proof of nothing", func() *Request {
			r := l.other().grow(5, "a").since(5)
			r.Proof = [][]byte{make([]byte, 32)}
			return r
		}, ErrDisproved},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newDisk(t)
			w := reopen(t, f, l)
			if _, err := w.Add(first); err != nil {
				t.Fatal(err)
			}
			before := w.Last(originHash(origin))
			lines, err := w.Add(tt.do())
			if lines != nil || !errors.Is(err, tt.want) {
				t.Errorf("got %q, %v; want %v", lines, err, tt.want)
			}
			if !bytes.Equal(before, w.Last(originHash(origin))) {
				t.Error("what was cosigned last has changed")
			}
			if _, err := w.Add(l.since(5)); err != nil {
				t.Errorf("the log's next checkpoint: %v", err)
			}
		})
	}
}

// Two checkpoints of one size by one key are proof that the log lies; they are
// kept.
func TestContradictionIsKept(t *testing.T) {
	l, f := newFork(t, origin).grow(5, "a"), newDisk(t)
	w := reopen(t, f, l)
	if _, err := w.Add(l.since(0)); err != nil {
		t.Fatal(err)
	}
	lie := l.other().grow(5, "x")
	if _, err := w.Add(lie.since(5)); !errors.Is(err, ErrDisproved) {
		t.Fatal(err)
	}
	kept, err := f.Cut().ReadFile(filepath.Join(dir, originHash(origin)+".contradiction"))
	if err != nil || !bytes.Contains(kept, lie.checkpoint()) || !bytes.Contains(kept, []byte(l.tree2())) {
		t.Errorf("kept %q, %v", kept, err)
	}
}

func (f *fork) tree2() string { return strings.SplitN(string(f.checkpoint()), "\n\n", 2)[0] }

func TestEmptyLog(t *testing.T) {
	l := newFork(t, origin)
	w := reopen(t, newDisk(t), l)
	if _, err := w.Add(l.since(0)); err != nil {
		t.Errorf("the checkpoint of an empty log: %v", err)
	}
	c := checkpoints.Checkpoint{Origin: origin, Size: 0, Hash: make([]byte, 32)}
	b, err := note.Sign(&note.Note{Text: string(c.Marshal())}, l.key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(&Request{Checkpoint: b}); !errors.Is(err, ErrDisproved) {
		t.Errorf("an empty log with another root: %v", err)
	}
	l.grow(2, "a")
	if _, err := w.Add(l.since(0)); err != nil {
		t.Errorf("its first entries: %v", err)
	}
}

// Of many who ask at once from one size, with different histories, one history
// is cosigned.
func TestRace(t *testing.T) {
	l := newFork(t, origin).grow(2, "a")
	w := reopen(t, newDisk(t), l)
	if _, err := w.Add(l.since(0)); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	cosigned := map[string]bool{}
	var all sync.WaitGroup
	for i := range 16 {
		mine := l.other().grow(2, "a").grow(1+i%2, fmt.Sprint(i/2))
		r := mine.since(2)
		all.Go(func() {
			if _, err := w.Add(r); err == nil {
				mu.Lock()
				cosigned[mine.tree2()] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(cosigned) != 1 {
		t.Errorf("%d histories were cosigned", len(cosigned))
	}
}

// Whatever breaks while it writes, and whatever a kill or a power cut leaves: a
// witness that handed out a cosignature never cosigns another history.
func TestEveryFault(t *testing.T) {
	l := newFork(t, origin).grow(3, "a")
	first := l.since(0)
	l.grow(2, "b")
	second := l.since(3)
	run := func(f *disktest.FS) (handed uint64) {
		w, err := open(f, dir, name, witnessKey, policyOf(t, l), nil)
		if err != nil {
			return 0
		}
		for _, step := range []struct {
			r    *Request
			size uint64
		}{{first, 3}, {second, 5}} {
			if _, err := w.Add(step.r); err == nil {
				handed = step.size
			}
		}
		return handed
	}
	clean := newDisk(t)
	from := len(clean.Ops())
	if run(clean) != 5 {
		t.Fatal("it does not work without a fault")
	}
	for n := range len(clean.Ops()) - from {
		for _, fault := range []disktest.Fault{disktest.Fails, disktest.Lies, disktest.Half, disktest.Dead} {
			f := newDisk(t)
			f.BreakNth(n, fault)
			handed := run(f)
			worlds := map[string]*disktest.FS{"kill": f.Kill(), "cut": f.Cut()}
			for seed := range uint64(4) {
				worlds[fmt.Sprint("torn ", seed)] = f.Torn(random.New(random.NewPCG(seed, 1)))
			}
			for what, world := range worlds {
				when := fmt.Sprintf("operation %d, fault %d, %s", n, fault, what)
				w, err := open(world, dir, name, witnessKey, policyOf(t, l), nil)
				if err != nil {
					t.Errorf("%s: it does not open: %v", when, err)
					continue
				}
				if handed == 0 {
					continue
				}
				lie := l.other().grow(int(handed), "x").since(0)
				if _, err := w.Add(lie); err == nil {
					t.Errorf("%s: it cosigned %d entries and now cosigns others", when, handed)
				}
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	l := newFork(t, origin).grow(3, "a")
	f := newDisk(t)
	w := reopen(t, f, l)
	if _, err := w.Add(l.since(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(f, dir, name, witnessKey, policyOf(t, l), nil); err == nil {
		t.Error("two processes have one witness open")
	}
	file := filepath.Join(dir, originHash(origin)+".checkpoint")
	damaged := f.Kill()
	damaged.Corrupt(file, func(b []byte) []byte { return bytes.Replace(b, []byte("\n3\n"), []byte("\n2\n"), 1) })
	foreign := f.Kill()
	foreign.Corrupt(file, func([]byte) []byte { return l.checkpoint() })
	for name, world := range map[string]*disktest.FS{"damaged": damaged, "not cosigned by this key": foreign} {
		if w, err := open(world, dir, "witness.example/one", witnessKey, policyOf(t, l), nil); err == nil || w != nil {
			t.Errorf("%s: it opens", name)
		}
	}
	empty, err := quorum.Parse([]byte("quorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (*Witness, error){
		"no log":             func() (*Witness, error) { return open(newDisk(t), dir, name, witnessKey, empty, nil) },
		"a name with spaces": func() (*Witness, error) { return open(newDisk(t), dir, "a b", witnessKey, policyOf(t, l), nil) },
		"half a key":         func() (*Witness, error) { return open(newDisk(t), dir, name, witnessKey[:32], policyOf(t, l), nil) },
	} {
		if w, err := open(); err == nil || w != nil {
			t.Errorf("%s: it opens", name)
		}
	}
}

func TestHTTP(t *testing.T) {
	l := newFork(t, origin).grow(3, "a")
	server := httptest.NewServer(reopen(t, newDisk(t), l).Handler())
	defer server.Close()
	post := func(body []byte) (int, string, string) {
		t.Helper()
		resp, err := http.Post(server.URL+"/add-checkpoint", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b), resp.Header.Get("Content-Type")
	}
	first := l.since(0)
	status, lines, _ := post(first.Text())
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, lines)
	}
	pinned(t, l, first.Checkpoint, []byte(lines))
	l.grow(1, "b")
	if status, body, kind := post(l.since(0).Text()); status != http.StatusConflict || body != "3\n" || kind != "text/x.tlog.size" {
		t.Errorf("a stale start: %d %q %s", status, body, kind)
	}
	for name, tt := range map[string]struct {
		body   []byte
		status int
	}{
		"nothing":           {nil, http.StatusBadRequest},
		"no checkpoint":     {[]byte("old 3\n"), http.StatusBadRequest},
		"an unknown log":    {newFork(t, "elsewhere.example").since(0).Text(), http.StatusNotFound},
		"another key":       {newFork(t, origin).grow(4, "a").since(3).Text(), http.StatusForbidden},
		"beyond the end":    {l.since(9).Text(), http.StatusBadRequest},
		"without the proof": {(&Request{Old: 3, Checkpoint: l.checkpoint()}).Text(), http.StatusUnprocessableEntity},
		"too long":          {make([]byte, MaxRequest+1), http.StatusRequestEntityTooLarge},
	} {
		if status, body, _ := post(tt.body); status != tt.status {
			t.Errorf("%s: %d %q, want %d", name, status, body, tt.status)
		}
	}
	for path, want := range map[string]int{"/" + originHash(origin) + "/checkpoint": 200, "/" + originHash("x") + "/checkpoint": 404, "/add-checkpoint": 405, "/../lock": 404} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestParseRequest(t *testing.T) {
	l := newFork(t, origin).grow(3, "a")
	good := string(l.grow(4, "b").since(3).Text())
	if r, err := ParseRequest([]byte(good)); err != nil || string(r.Text()) != good {
		t.Fatalf("%+v, %v", r, err)
	}
	line := strings.Split(good, "\n")[1]
	for name, bad := range map[string]string{
		"no old line":        strings.Replace(good, "old 3\n", "", 1),
		"a size with a zero": strings.Replace(good, "old 3", "old 03", 1),
		"a negative size":    strings.Replace(good, "old 3", "old -3", 1),
		"too large a size":   strings.Replace(good, "old 3", "old "+new(big.Int).Lsh(big.NewInt(1), 63).String(), 1),
		"a short hash":       strings.Replace(good, line, "AAAA", 1),
		"no base64":          strings.Replace(good, line, "!", 1),
		"a carriage return":  strings.Replace(good, line, line+"\r", 1),
		"one inside":         strings.Replace(good, line, line[:9]+"\r"+line[9:], 1),
		"too long a proof":   strings.Replace(good, line, strings.TrimSuffix(strings.Repeat(line+"\n", 64), "\n"), 1),
		"nothing":            "",
	} {
		if r, err := ParseRequest([]byte(bad)); r != nil || !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(newFork(f, origin).grow(3, "a").since(2).Text())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRequest(b); err == nil && !bytes.Equal(r.Text(), b) {
			t.Errorf("%q reads as %q", b, r.Text())
		}
	})
}
