package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

// TestFailedSyncPoisons: after one failed fsync nothing is acknowledged any
// more, although the next ones would succeed.
func TestFailedSyncPoisons(t *testing.T) {
	for _, broken := range []string{"sync " + testDir + "/0000000000000001.segment", "syncdir " + testDir, "sync " + testDir + "/seals"} {
		for _, fault := range []disktest.Fault{disktest.Fails, disktest.Lies} {
			t.Run(fmt.Sprint(broken, " ", fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testPoison(t, broken, fault) })
			})
		}
	}
}

func testPoison(t *testing.T, broken string, fault disktest.Fault) {
	w := newWorld()
	j := w.mustOpen(t)
	done := false
	w.fs.Break(func(op string) disktest.Fault {
		if op == broken && !done {
			done = true
			return fault
		}
		return disktest.None
	})
	r, err := j.Append(t.Context(), ledger.KindTag, tag(0))
	if err == nil {
		w.acked = append(w.acked, r)
		err = j.Seal(t.Context())
	}
	if !errors.Is(err, ErrDown) || !errors.Is(j.Err(), ErrDown) || !errors.Is(err, disktest.ErrFault) {
		t.Errorf("the failed sync is reported as %v, then as %v", err, j.Err())
	}
	select {
	case <-j.Dead():
	default:
		t.Error("nobody is told that the journal is down")
	}
	for i := range 3 {
		if r, err := j.Append(t.Context(), ledger.KindTag, tag(i)); !errors.Is(err, ErrDown) {
			t.Errorf("acknowledged afterwards: %v, %v", r, err)
		}
	}
	if len(w.order) != len(w.acked) {
		t.Errorf("%d records are applied, %d acknowledged", len(w.order), len(w.acked))
	}
	if got, err := allRecords(j, 1); err != nil || cmp.Diff(w.acked, got) != "" {
		t.Errorf("reading: %d records, %v", len(got), err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	w.auditWorlds(t, "poisoned")
}

// TestFullDisk: a write that fails costs its record and nothing else.
func TestFullDisk(t *testing.T) {
	for _, fault := range []disktest.Fault{disktest.Fails, disktest.Half, disktest.Lies} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			j := w.mustOpen(t)
			w.acked = append(w.acked, mustAppend(t, j, 0))
			w.fs.Break(func(op string) disktest.Fault {
				if strings.HasPrefix(op, "write") || strings.HasPrefix(op, "create") || strings.HasPrefix(op, "put") {
					return fault
				}
				return disktest.None
			})
			for i := range 4 {
				if r, err := j.Append(t.Context(), ledger.KindTag, tag(i)); err == nil || errors.Is(err, ErrDown) {
					t.Errorf("on a full disk: %v, %v", r, err)
				}
				time.Sleep(time.Second) // the segment is closed; a new one cannot be made
			}
			w.fs.Break(nil)
			r := mustAppend(t, j, 1)
			if w.acked = append(w.acked, r); r.Sequence != 2 {
				t.Errorf("after the full disk: record %d", r.Sequence)
			}
			w.auditWorlds(t, fmt.Sprint("full disk, fault ", fault))
		})
	}
}

// TestApplyRefuses: state and journal must not part.
func TestApplyRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		refuse := errors.New("no such product")
		apply := func(r ledger.Record) error {
			if r.Sequence == 2 {
				return refuse
			}
			return nil
		}
		j, err := open(w.fs, &Journal{dir: testDir, store: w, signer: testSigner(), log: w, apply: apply}, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, j, 0)
		if _, err := j.Append(t.Context(), ledger.KindTag, tag(1)); !errors.Is(err, ErrDown) || !errors.Is(err, refuse) {
			t.Errorf("refused record: %v", err)
		}
		if _, err := j.Append(t.Context(), ledger.KindTag, tag(2)); !errors.Is(err, ErrDown) || j.Last() != 1 {
			t.Errorf("after it: %v, last %d", err, j.Last())
		}
		_ = j.Close()
		if _, err := open(w.fs.Kill(), &Journal{dir: testDir, store: w, signer: testSigner(), log: w, apply: apply}, nil); !errors.Is(err, refuse) {
			t.Errorf("opened again: %v", err)
		}
	})
}

// TestNothingIsWrittenAfterTheEnd: those who wait when the journal goes down
// are told so, and their records are not in it.
func TestNothingIsWrittenAfterTheEnd(t *testing.T) {
	for range 8 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			apply := func(ledger.Record) error { return errors.New("no") }
			j, err := open(w.fs, &Journal{dir: testDir, store: w, signer: testSigner(), log: w, apply: apply}, nil)
			if err != nil {
				t.Fatal(err)
			}
			w.fs.Break(func(op string) disktest.Fault {
				time.Sleep(time.Millisecond) // while the others come
				return disktest.None
			})
			var wg sync.WaitGroup
			for i := range 8 {
				if i == 1 {
					synctest.Wait() // the first one is alone on its way
				}
				wg.Go(func() {
					if _, err := j.Append(t.Context(), ledger.KindTag, tag(i)); !errors.Is(err, ErrDown) {
						t.Errorf("Append: %v", err)
					}
				})
			}
			wg.Wait()
			_ = j.Close()
			again := w.after(w.fs.Kill())
			if records, err := allRecords(again.mustOpen(t), 1); len(records) != 1 || err != nil {
				t.Errorf("%d records are written, %v", len(records), err)
			}
		})
	}
}
