package monitor

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

// Each visit reads what is new, and the tiles at the edge, and nothing else.
func TestVisitsReadWhatIsNew(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	w, url := newWatch(t, f, Options{}), f.serve()
	if r := w.quiet(url); r.Size != 0 || r.Before != nil || r.Entries != 0 {
		t.Errorf("of an empty log: %+v", r)
	}
	f.grow(70_000)
	if r := w.quiet(url); r.Size != 70_000 || *r.Before != 0 || r.Entries != 70_000 {
		t.Errorf("of a log: %+v", r)
	}
	for _, more := range []int64{0, 1, 5, 250, 256, 1000} {
		f.grow(more)
		before := f.reads.Load()
		r := w.quiet(url)
		if r.Entries != uint64(more) || r.Size != uint64(f.size) || *r.Before != uint64(f.size-more) {
			t.Errorf("after %d more: %+v", more, r)
		}
		if got, most := f.reads.Load()-before, 2*more/256+20; got > most {
			t.Errorf("%d files were read for %d entries, want at most %d", got, more, most)
		}
	}
}

// A log shows one history to some and another to others. Both checkpoints are
// kept, and what was seen first is what is remembered.
func TestSplitView(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{300, 301, 700, 70_000} {
		f := newFake(t).grow(300)
		w := newWatch(t, f, Options{})
		honest, lying := f.serve(), f.other(271).grow(size)
		w.quiet(honest)
		a := w.caught(lying.serve(), SplitView)
		if !strings.Contains(a.Text, "entries from 271 to 271 are not what they were") || a.Origin != origin {
			t.Errorf("of %d entries it is told: %+v", size, a)
		}
		kept := w.kept(a)
		if len(kept) != 2 || !bytes.Equal(kept[0], f.checkpoint()) || !bytes.Equal(kept[1], lying.checkpoint()) {
			t.Errorf("kept are %q", kept)
		}
		w.alerts = nil
		f.grow(10)
		if r := w.quiet(honest); r.Entries != 10 {
			t.Errorf("the honest history goes on: %+v", r)
		}
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	old := f.other(1 << 40).grow(200)
	w, url := newWatch(t, f, Options{}), old.serve()
	w.quiet(f.serve())
	if a := w.caught(url, RolledBack); len(w.kept(a)) != 2 {
		t.Errorf("told %+v", a)
	}
	// it goes on differently until it is as large
	old.leaf = func(i int64) []byte { return fmt.Appendf(nil, "later %d", i) }
	old.grow(150)
	if a := w.caught(url, SplitView); !strings.Contains(a.Text, "entries from 0 to 255 are") {
		t.Errorf("told %+v", a)
	}
}

// Fewer entries than before, and not those: it was not only set back.
func TestSmallerOtherHistory(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	w := newWatch(t, f, Options{})
	w.quiet(f.serve())
	for _, size := range []int64{257, 290} {
		if a := w.caught(f.other(256).grow(size).serve(), SplitView); !strings.Contains(a.Text, "entries from 256 to 256") {
			t.Errorf("told %+v", a)
		}
	}
	w.caught(f.other(7).grow(250).serve(), RolledBack) // the edge has no hash of so few
	w.caught(f.other(290).grow(280).serve(), RolledBack)
}

// What is the same at every visit is told once.
func TestSameAlertOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	w := newWatch(t, f, Options{})
	w.quiet(f.serve())
	if err := w.open(f.other(1 << 40).grow(200).serve()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r, err := w.m.Visit(t.Context()); err != nil || !r.Breach || r.Alerts != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if len(w.alerts) != 1 {
		t.Errorf("told %d times", len(w.alerts))
	}
}

// Files of the log that do not hold what its checkpoint says, each in turn.
func TestReplacedAndMissing(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"tile/entries/001.p/64", "tile/0/001.p/64", "tile/1/000.p/1"} {
		for kind, answer := range map[Kind]func(http.ResponseWriter, []byte){
			Missing:  func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) },
			Replaced: func(w http.ResponseWriter, b []byte) { b[len(b)-3] ^= 1; w.Write(b) },
		} {
			f := newFake(t).grow(300)
			w, url := newWatch(t, f, Options{}), f.serve()
			w.quiet(url)
			f.grow(20)
			f.tamper = func(rw http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != ledger.ReadPath+path && !(kind == Missing && strings.HasPrefix(r.URL.Path, ledger.ReadPath+strings.TrimSuffix(path, ".p/64"))) {
					return false
				}
				rec := &recorder{ResponseWriter: rw}
				f.tile(rec, r, path)
				answer(rw, rec.b)
				return true
			}
			if a := w.caught(url, kind); len(w.kept(a)) != 1 {
				t.Errorf("%s %s: told %+v", kind, path, a)
			}
			f.tamper, w.alerts = nil, nil
			if r := w.quiet(url); r.Entries != 20 {
				t.Errorf("%s %s, when it is back: %+v", kind, path, r)
			}
		}
	}
}

type recorder struct {
	http.ResponseWriter
	b []byte
}

func (r *recorder) Write(b []byte) (int, error) { r.b = append(r.b, b...); return len(b), nil }

// An entry of the last bundle that was read before is another now, while
// checkpoint and tiles are as they were.
func TestOldEntryOfTheLastBundle(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	w, url := newWatch(t, f, Options{}), f.serve()
	w.quiet(url)
	f.grow(20)
	honest := f.leaf
	f.leaf = func(i int64) []byte {
		if i == 280 {
			return []byte("something else")
		}
		return honest(i)
	}
	if a := w.caught(url, Replaced); !strings.Contains(a.Text, "entry 280 is not what it was") {
		t.Errorf("told %+v", a)
	}
}

func TestUnsigned(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	w := newWatch(t, f, Options{})
	stranger := newFake(t).grow(5)
	if a := w.caught(stranger.serve(), Unsigned); len(w.kept(a)) != 1 {
		t.Errorf("told %+v", a)
	}
}

func TestHugeLog(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(3)
	w, url := newWatch(t, f, Options{}), f.serve()
	for _, size := range []int64{1 << 49, 1<<63 - 1} {
		f.cosigned = f.signed(t, size)
		if a := w.caught(url, Replaced); !strings.Contains(a.Text, "are no log's") {
			t.Errorf("told %+v", a)
		}
	}
	f.cosigned = f.signed(t, 1<<47)
	w.caught(url, Missing)
	w.alerts, f.cosigned = nil, nil
	w.quiet(url)
	f.cosigned = f.signed(t, 1<<47)
	w.caught(url, Missing)
}

// The log keeps still for too long.
func TestStale(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(3)
	w, url := newWatch(t, f, Options{MaxAge: time.Hour}), f.serve()
	w.quiet(url)
	w.o.MaxAge = time.Nanosecond
	w.caught(url, Stale)
	w.alerts = nil
	f.tamper = func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(500); return true }
	if _, err := w.visit(url); err == nil || len(w.alerts) != 1 || w.alerts[0].Alert != Stale {
		t.Errorf("of a log that is down: %v, told %+v", err, w.alerts)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var ids []attest.Digest
	var leaves []func(int64) []byte
	for _, k := range []*ecdsa.PrivateKey{newKey(t), newKey(t), newKey(t)} {
		id, leaf := entryBy(t, k)
		ids, leaves = append(ids, id), append(leaves, leaf)
	}
	f.leaf = func(i int64) []byte { return leaves[i%3](i) }
	f.grow(6)
	f.leaf = func(i int64) []byte {
		if i == 6 {
			return []byte("no entry")
		}
		return leaves[i%3](i)
	}
	f.grow(1)
	w, url := newWatch(t, f, Options{Watched: map[attest.Digest]string{ids[1]: "release.pem.pub"}, Known: func(e *ledger.Entry) bool { return e.Key.ID() != ids[2] }}), f.serve()
	r, err := w.visit(url)
	if err != nil || r.Breach || r.Alerts != 5 || len(w.alerts) != 5 {
		t.Fatalf("%+v, %v: told %+v", r, err, w.alerts)
	}
	for i, want := range []struct {
		index uint64
		kind  Kind
	}{{1, WatchedKey}, {2, UnknownKey}, {4, WatchedKey}, {5, UnknownKey}, {6, Unreadable}} {
		a := w.alerts[i]
		if a.Alert != want.kind || *a.Index != want.index {
			t.Errorf("told %+v, want %+v", a, want)
		}
		if a.Alert == Unreadable {
			continue
		}
		e, err := ledger.ParseEntry(leaves[want.index%3](int64(want.index)))
		if err != nil || a.Digest != e.Digest || a.Key != ids[want.index%3] {
			t.Errorf("told %+v of %+v", a, e)
		}
	}
	w.alerts = nil
	w.quiet(url)
}

// Nothing is told of entries that no verified checkpoint has.
func TestNothingIsToldOfWhatIsNotVerified(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	_, f.leaf = entryBy(t, newKey(t))
	f.grow(300)
	w, url := newWatch(t, f, Options{Known: func(*ledger.Entry) bool { return false }}), f.serve()
	honest := f.leaf
	f.leaf = func(i int64) []byte {
		if i == 290 {
			return []byte("no entry")
		}
		return honest(i)
	}
	w.caught(url, Replaced)
}

// A log that never ends, or takes all the time there is.
func TestHostileAnswersAreBounded(t *testing.T) {
	t.Parallel()
	endless := func(rw http.ResponseWriter, r *http.Request) bool {
		for b := bytes.Repeat([]byte("x"), 1<<16); r.Context().Err() == nil; {
			if _, err := rw.Write(b); err != nil {
				break
			}
		}
		return true
	}
	for _, path := range []string{"checkpoint", "tile/entries/000.p/3", "tile/0/000.p/3"} {
		f := newFake(t).grow(3)
		f.tamper = func(rw http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == ledger.ReadPath+path && endless(rw, r)
		}
		w := newWatch(t, f, Options{})
		if _, err := w.visit(f.serve()); !errors.Is(err, client.ErrBadAnswer) {
			t.Errorf("%s without an end: %v", path, err)
		}
	}
	f := newFake(t).grow(3)
	f.tamper = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "checkpoint") {
			return false
		}
		<-r.Context().Done()
		return true
	}
	w := newWatch(t, f, Options{Longest: 50 * time.Millisecond})
	w.caught(f.serve(), Unfinished)
}
