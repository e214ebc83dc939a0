package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

func TestPutGet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("y"), 1<<20)} {
		for range 2 { // the same bytes again are fine
			d, err := s.Put(b)
			if err != nil || d != attest.DigestOf(b) {
				t.Fatalf("Put of %d bytes = %s, %v", len(b), d, err)
			}
			got, err := s.Get(d)
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("Get of %d bytes: %d bytes, %v", len(b), len(got), err)
			}
		}
	}
	if again, err := Open(dir); err != nil || !again.Has(attest.DigestOf([]byte("x"))) {
		t.Errorf("opened again, the blob is gone: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestRefusals(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	absent := attest.DigestOf([]byte("absent"))
	if _, err := s.Get(absent); !errors.Is(err, ErrNotFound) || s.Has(absent) {
		t.Errorf("Get of an absent digest: %v", err)
	}
	for _, d := range []attest.Digest{"", "sha256:", "sha256:../../../etc/passwd", "sha512:00"} {
		if _, err := s.Get(d); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%q): %v", d, err)
		}
	}
	if _, err := s.Put(make([]byte, MaxBlob+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Put of too much: %v", err)
	}
}

func TestCorruptBlobIsNeverAnAnswer(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("evidence")
	d, err := s.Put(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, changed := range map[string][]byte{"flipped": []byte("Evidence"), "cut": want[:3], "longer": []byte("evidence!"), "empty": {}} {
		if err := os.WriteFile(s.path(d), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Get(d); !errors.Is(err, ErrCorrupt) || b != nil || s.Has(d) {
			t.Errorf("%s: Get = %q, %v", name, b, err)
		}
	}
	if _, err := s.Put(want); err != nil { // whoever still has the bytes can bring them back
		t.Fatal(err)
	}
	if b, err := s.Get(d); err != nil || !bytes.Equal(b, want) {
		t.Errorf("put again: %q, %v", b, err)
	}
}

// TestEveryFault breaks each operation of a series of Puts in each way, and
// after each looks at what a kill, a power cut and torn power cuts leave: every
// blob whose Put returned nil, whole, and nothing half-written under any name.
func TestEveryFault(t *testing.T) {
	clean := disktest.New()
	if _, errs := putAll(clean); errs != 0 {
		t.Fatalf("%d errors without a fault", errs)
	}
	total := len(clean.Ops())
	shard := regexp.MustCompile("^mkdir .*/sha256/[1-9a-f]")
	for n := range total {
		if shard.MatchString(clean.Ops()[n]) {
			continue // 16 of the 256 will do
		}
		for _, fault := range []disktest.Fault{disktest.Fails, disktest.Lies, disktest.Half} {
			f := disktest.New()
			f.BreakNth(n, fault)
			acked, errs := putAll(f)
			missing := n == 0 && fault == disktest.Lies // the first Mkdir asks whether there is a parent
			if errs == 0 && !missing {
				t.Errorf("fault %d in operation %d, %s: nobody was told", fault, n, clean.Ops()[n])
			}
			audit(t, fmt.Sprintf("operation %d, fault %d", n, fault), f, acked)
		}
	}
}

// putAll opens a store until it opens, and puts every blob until it is in.
func putAll(f *disktest.FS) (acked [][]byte, errs int) {
	s, err := open(f, "/var/store")
	for ; err != nil; s, err = open(f, "/var/store") {
		errs++
	}
	for _, text := range []string{"one", "two", "three", "two"} {
		for {
			if _, err := s.Put([]byte(text)); err == nil {
				break
			}
			errs++
		}
		acked = append(acked, []byte(text))
	}
	return acked, errs
}

func audit(t *testing.T, when string, f *disktest.FS, acked [][]byte) {
	t.Helper()
	worlds := map[string]*disktest.FS{"kill": f.Kill(), "cut": f.Cut()}
	for seed := range uint64(4) {
		worlds[fmt.Sprint("torn ", seed)] = f.Torn(rand.New(rand.NewPCG(seed, 1)))
	}
	for name, world := range worlds {
		s, err := open(world, "/var/store")
		if err != nil {
			t.Errorf("%s, %s: %v", when, name, err)
			continue
		}
		for _, b := range acked {
			if got, err := s.Get(attest.DigestOf(b)); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s, %s: acknowledged %q is %q, %v", when, name, b, got, err)
			}
		}
		for _, file := range world.Files("/var/store/sha256") {
			if _, err := s.Get(attest.Digest("sha256:" + filepath.Base(file))); err != nil {
				t.Errorf("%s, %s: %v", when, name, err)
			}
		}
		if left := world.Files("/var/store/tmp"); len(left) != 0 {
			t.Errorf("%s, %s: %v left", when, name, left)
		}
	}
}

func TestConcurrentPuts(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			b := []byte{byte(i % 4)}
			d, err := s.Put(b)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := s.Get(d); err != nil || !bytes.Equal(got, b) {
				t.Errorf("Get = %q, %v", got, err)
			}
		})
	}
	wg.Wait()
}
