package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

// The machine stops at every single operation on the disk, in every way it can.
// The next visit goes on, and every use of the key was told by its end.
func TestStopsAnywhere(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	id, leaf := entryBy(t, newKey(t))
	f.leaf = leaf
	f.grow(40)
	url := f.serve()
	watching := Options{Watched: map[attest.Digest]string{id: "mine"}}
	first := newWatch(t, f, watching)
	if _, err := first.visit(url); err != nil {
		t.Fatal(err)
	}
	f.grow(3)
	for _, fault := range []disktest.Fault{disktest.Fails, disktest.Lies, disktest.Half, disktest.Dead} {
		for _, cut := range []func(*disktest.FS) *disktest.FS{(*disktest.FS).Kill, (*disktest.FS).Cut} {
			for n := 0; ; n++ {
				w := newWatch(t, f, watching)
				w.fs = first.fs.Kill()
				before := len(w.fs.Ops())
				w.fs.BreakNth(n, fault)
				_, err := w.visit(url)
				done := len(w.fs.Ops())-before <= n
				w.fs = cut(w.fs)
				r, again := w.visit(url)
				if again != nil || r.Size != 43 {
					t.Fatalf("fault %v at operation %d (%v): then %+v, %v", fault, n, err, r, again)
				}
				if got := indexes(w.alerts); !strings.Contains(got, "40") || !strings.Contains(got, "41") || !strings.Contains(got, "42") {
					t.Errorf("fault %v at operation %d (%v): told of %s", fault, n, err, got)
				}
				if done {
					break
				}
			}
		}
	}
}

func indexes(alerts []Alert) (s string) {
	for _, a := range alerts {
		if a.Index != nil {
			s += fmt.Sprint(*a.Index, " ")
		}
	}
	return s
}

// A long reading that is broken off goes on from where it was, also when the log
// has grown meanwhile.
func TestBrokenOffGoesOn(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	id, leaf := entryBy(t, newKey(t))
	plain := f.leaf
	f.leaf = func(i int64) []byte {
		if i%10_000 == 0 {
			return leaf(i)
		}
		return plain(i)
	}
	f.grow(60_000)
	url := f.serve()
	w := newWatch(t, f, Options{Watched: map[attest.Digest]string{id: "mine"}})
	if err := w.open(url); err != nil {
		t.Fatal(err)
	}
	w.fs.Break(func(op string) disktest.Fault {
		if strings.HasPrefix(op, "rename /m/reading.json") && f.reads.Load() > 300 {
			return disktest.Fails
		}
		return 0
	})
	if _, err := w.m.Visit(t.Context()); !errors.Is(err, ErrBroken) {
		t.Fatalf("the visit was not broken off: %v", err)
	}
	w.fs = w.fs.Kill()
	f.grow(300)
	before := f.reads.Load()
	w.alerts = nil
	r, err := w.visit(url)
	if err != nil || r.Size != 60_300 || r.Entries != 60_300 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := f.reads.Load() - before; got > 2*60_300/256-100 {
		t.Errorf("%d files were read again", got)
	}
	if got := indexes(w.alerts); len(strings.Fields(got)) < 6 {
		t.Errorf("told of %s", got)
	}
}

// What is remembered was changed behind the monitor's back.
func TestDamagedMemory(t *testing.T) {
	t.Parallel()
	f := newFake(t).grow(300)
	w, url := newWatch(t, f, Options{}), f.serve()
	w.quiet(url)
	good, err := w.fs.ReadFile("/m/" + memoryFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"cut":  func(b []byte) []byte { return b[:len(b)/2] },
		"size": func(b []byte) []byte { return bytes.Replace(b, []byte(`"size":300`), []byte(`"size":301`), 1) },
		"edge": func(b []byte) []byte { i := bytes.Index(b, []byte(`"levels":["`)) + 15; b[i] ^= 1; return b },
		"huge": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"size":300`), []byte(`"size":9007199254740991`), 1)
		},
		"untold": func(b []byte) []byte { return bytes.Replace(b, []byte(`"untold":0`), []byte(`"untold":99`), 1) },
		"another": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"checkpoint":"`), []byte(`"checkpoint":"AAAA`), 1)
		},
	} {
		w.fs.Corrupt("/m/"+memoryFile, func([]byte) []byte { return change(bytes.Clone(good)) })
		if err := w.open(url); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	w.fs.Corrupt("/m/"+memoryFile, func([]byte) []byte { return good })
	w.quiet(url)
	if err := w.open(url); err != nil {
		t.Fatal(err)
	}
	m := w.m
	if err := w.open(url); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
