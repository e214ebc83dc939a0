package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
	"github.com/patchfit/patchfit/ledger/store"
)

func TestAppendAndRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := w.mustOpen(t)
		if j.Last() != 0 {
			t.Errorf("a new journal has record %d", j.Last())
		}
		for i := range 7 {
			w.acked = append(w.acked, mustAppend(t, j, i))
			if i%3 == 2 {
				if err := j.Seal(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for from := range int64(10) {
			got, err := allRecords(j, from)
			if err != nil {
				t.Fatal(err)
			}
			want := w.acked[min(max(from-1, 0), 7):]
			if diff := cmp.Diff(want, slices.Clip(append([]ledger.Record{}, got...))); diff != "" {
				t.Errorf("Records(%d): (-want +got)\n%s", from, diff)
			}
		}
		if j.Last() != 7 || len(j.Seals()) != 2 || j.Err() != nil {
			t.Errorf("last %d, %d seals, %v", j.Last(), len(j.Seals()), j.Err())
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if _, err := j.Append(t.Context(), ledger.KindTag, tag(9)); !errors.Is(err, ErrDown) {
			t.Errorf("Append after Close: %v", err)
		}
		w.after(w.fs.Cut()).audit(t, "closed")
	})
}

func TestAppendRefusesWhatNobodyCouldRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := w.mustOpen(t)
		long := tag(1)
		long.Tag = strings.Repeat("x", ledger.MaxRecord)
		for name, c := range map[string]struct {
			kind ledger.Kind
			body any
		}{
			"unknown kind": {"gossip", tag(1)},
			"wrong body":   {ledger.KindUses, tag(1)},
			"invalid body": {ledger.KindTag, ledger.TagMoved{}},
			"too long":     {ledger.KindTag, long},
		} {
			if r, err := j.Append(t.Context(), c.kind, c.body); err == nil || errors.Is(err, ErrDown) || r.Sequence != 0 {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		}
		if r := mustAppend(t, j, 1); r.Sequence != 1 {
			t.Errorf("the first good record is number %d", r.Sequence)
		}
	})
}

// TestSealTiming: a segment is closed one second after its first record,
// whatever comes in meanwhile, and an idle journal does nothing.
func TestSealTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := w.mustOpen(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		idle := len(w.fs.Ops())
		mustAppend(t, j, 0)
		time.Sleep(600 * time.Millisecond)
		mustAppend(t, j, 1)
		time.Sleep(399 * time.Millisecond)
		synctest.Wait()
		if n := len(j.Seals()); n != 0 {
			t.Errorf("%d segments are sealed after 999 ms", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		seals := j.Seals()
		if len(seals) != 1 || seals[0].Statement.Last != 2 {
			t.Fatalf("after one second: %+v", seals)
		}
		busy := len(w.fs.Ops())
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(w.fs.Ops()); n != busy || idle == busy || len(j.Seals()) != 1 {
			t.Errorf("an idle journal did %v", w.fs.Ops()[busy:])
		}
		mustAppend(t, j, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(j.Seals()); n != 2 {
			t.Errorf("%d segments after the next record", n)
		}
	})
}

// TestLogOutage: records are taken while nothing can be sealed; afterwards
// everything is, in order, once.
func TestLogOutage(t *testing.T) {
	for _, broken := range []string{"log leaf", "put blob", "rename " + testDir + "/0000000000000001.seal"} {
		t.Run(broken, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				j := w.mustOpen(t)
				w.fs.Break(func(op string) disktest.Fault {
					if op == broken {
						return disktest.Fails
					}
					return disktest.None
				})
				for i := range 5 {
					w.acked = append(w.acked, mustAppend(t, j, i))
					time.Sleep(20 * time.Second)
				}
				if n := len(j.Seals()); n != 0 || j.Err() != nil {
					t.Errorf("%d segments are sealed without a log; %v", n, j.Err())
				}
				if got, err := allRecords(j, 1); err != nil || cmp.Diff(w.acked, got) != "" {
					t.Errorf("%d records are readable, %v", len(got), err)
				}
				w.after(w.fs.Cut()).audit(t, "power cut in the outage")
				w.fs.Break(nil)
				time.Sleep(lastPause)
				synctest.Wait()
				if n := len(j.Seals()); n != 5 {
					t.Errorf("%d of 5 segments are sealed after the outage", n)
				}
				w.auditSealed(t, "after the outage", j)
			})
		})
	}
}

// TestOneFsyncForAllWhoWait holds the first sync up while others come.
func TestOneFsyncForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := w.mustOpen(t)
		syncs := 0
		w.fs.Break(func(op string) disktest.Fault {
			if strings.HasPrefix(op, "sync "+testDir) {
				syncs++
				time.Sleep(time.Millisecond)
			}
			return disktest.None
		})
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() { appendOne(t, j, i) })
		}
		wg.Wait()
		if syncs > 2 || j.Last() != 64 {
			t.Errorf("%d records took %d syncs", j.Last(), syncs)
		}
	})
}

// appendOne is mustAppend for a goroutine of its own.
func appendOne(t *testing.T, j *Journal, n int) {
	if _, err := j.Append(t.Context(), ledger.KindTag, tag(n)); err != nil {
		t.Error(err)
	}
}

func TestCancelledBeforeItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		j := w.mustOpen(t)
		w.fs.Break(func(op string) disktest.Fault {
			if strings.HasPrefix(op, "sync") {
				time.Sleep(time.Minute)
			}
			return disktest.None
		})
		go appendOne(t, j, 0)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := j.Append(ctx, ledger.KindTag, tag(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Append: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if j.Last() != 1 {
			t.Errorf("%d records, although one was given up", j.Last())
		}
	})
}

// TestTimeNeverGoesBack: the clock of the bubble is in the year 2000.
func TestTimeNeverGoesBack(t *testing.T) {
	w := newWorld()
	j, err := w.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	before := mustAppend(t, j, 0)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if age := time.Since(before.Time); age < 0 || age > time.Minute {
		t.Fatalf("a record of %s", before.Time)
	}
	w.fs = w.fs.Kill()
	synctest.Test(t, func(t *testing.T) {
		j := w.mustOpen(t)
		if after := mustAppend(t, j, 1); !after.Time.Equal(before.Time) || !time.Now().Before(before.Time) {
			t.Errorf("%s after %s", after.Time, before.Time)
		}
		if err := j.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	w := newWorld()
	apply := func(ledger.Record) error { return nil }
	j, err := Open(dir, w, testSigner(), w, apply, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, w, testSigner(), w, apply, nil); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, err = Open(dir, w, testSigner(), w, apply, nil)
	if err != nil {
		t.Fatalf("opened after Close: %v", err)
	}
	_ = j.Close()
}

// TestManyAppenders on a real disk and a real store: records have no gap,
// every caller gets its own, and they are applied in journal order.
func TestManyAppenders(t *testing.T) {
	const appenders, each = 16, 25
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	var applied []ledger.Record // of one goroutine; the race detector would tell
	apply := func(r ledger.Record) error { applied = append(applied, r); return nil }
	dir := t.TempDir()
	j, err := Open(dir, st, testSigner(), w, apply, &Options{SealAfter: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	got := make(map[int64]ledger.Record)
	var wg sync.WaitGroup
	for a := range appenders {
		wg.Go(func() {
			for i := range each {
				r, err := j.Append(t.Context(), ledger.KindUses, ledger.DecisionUses{Decision: fmt.Sprint(a), Uses: int64(i)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got[r.Sequence] = r
				mu.Unlock()
			}
		})
	}
	wg.Go(func() { // a reader beside them, across sealing
		for j.Last() < appenders*each && j.Err() == nil && !t.Failed() {
			if err := j.Verify(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if err := j.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	checkAppended(t, got, applied, appenders*each)
	live := applied
	applied = nil
	if j, err = Open(dir, st, testSigner(), w, apply, nil); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, applied); diff != "" {
		t.Errorf("replayed otherwise than applied: (-applied +replayed)\n%s", diff)
	}
}

func checkAppended(t *testing.T, got map[int64]ledger.Record, applied []ledger.Record, want int) {
	t.Helper()
	if len(got) != want || len(applied) != want {
		t.Fatalf("%d records returned, %d applied, of %d", len(got), len(applied), want)
	}
	uses := make(map[string]int64)
	for i, r := range applied {
		if r.Sequence != int64(i)+1 {
			t.Fatalf("record %d is applied in place %d", r.Sequence, i+1)
		}
		if diff := cmp.Diff(got[r.Sequence], r); diff != "" {
			t.Errorf("record %d: (-returned +applied)\n%s", r.Sequence, diff)
		}
		body, err := ledger.Decode[ledger.DecisionUses](r)
		if err != nil {
			t.Fatal(err)
		}
		if body.Uses != uses[body.Decision] {
			t.Errorf("record %d: use %d of %s comes after use %d", r.Sequence, body.Uses, body.Decision, uses[body.Decision]-1)
		}
		uses[body.Decision]++
	}
}

// FuzzScan: no file makes the reader of trails panic, and what it accepts is
// what a trail of the same frames would hold.
func FuzzScan(f *testing.F) {
	frame := ledger.AppendFrame(nil, []byte("{}"))
	f.Add(appendMark(frame, int64(len(frame))))
	f.Add(frame)
	f.Add([]byte(markMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, end, synced, err := scan(b)
		if err != nil {
			return
		}
		if synced > end || end > int64(len(b)) {
			t.Fatalf("synced %d, end %d, of %d", synced, end, len(b))
		}
		again, more, _, err := scan(b[:end])
		if err != nil || more != end || cmp.Diff(frames, again) != "" {
			t.Fatalf("the whole part of %x reads otherwise", b)
		}
	})
}

// TestNewestIsInMemory: whoever follows the journal asks for its newest record
// again and again, which must not read the segment that it is in.
func TestNewestIsInMemory(t *testing.T) {
	w := newWorld()
	j := w.mustOpen(t)
	mustAppend(t, j, 1)
	want := mustAppend(t, j, 2)
	if err := j.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	clear(w.blobs)
	w.mu.Unlock()
	got, err := allRecords(j, want.Sequence)
	if d := cmp.Diff([]ledger.Record{want}, got); d != "" || err != nil {
		t.Errorf("the newest record: %v (-want +got)\n%s", err, d)
	}
}
