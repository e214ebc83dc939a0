package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
)

// newDisk returns a store on a disk that tests can break.
func newDisk(t *testing.T) (*Store, *Disk) {
	t.Helper()
	k, err := OpenDisk(filepath.Join(t.TempDir(), "registry"))
	if err != nil {
		t.Fatal(err)
	}
	return New(k, &Options{LookEvery: time.Nanosecond}), k
}

// put stores b, and has it look old enough to be remembered.
func put(t *testing.T, s *Store, k *Disk, b []byte) attest.Digest {
	t.Helper()
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	d := attest.DigestOf(b)
	if err := u.Commit(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// read reads a blob as a client would.
func read(s *Store, d attest.Digest) ([]byte, error) {
	b, err := s.Open(context.Background(), d)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

// sizes are around everything that a size decides.
var sizes = []int{0, 1, smallSize, smallSize + 1, copySize - 1, copySize, copySize + 1, 3*copySize + 17}

func filled(n int) []byte { return bytes.Repeat([]byte("patchfit"), n/8+1)[:n] }

// TestRoundTrip: what came in, in whatever pieces, goes out.
func TestRoundTrip(t *testing.T) {
	s, k := newDisk(t)
	for _, n := range sizes {
		b := filled(n)
		u, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range [][]byte{b[:n/3], b[n/3:]} {
			if got, err := u.ReadFrom(iotest.HalfReader(bytes.NewReader(piece))); err != nil || got != int64(len(piece)) {
				t.Fatalf("%d of %d bytes: %v", got, len(piece), err)
			}
			if err := u.Rest(); err != nil {
				t.Fatal(err)
			}
		}
		if u.Size() != int64(n) || u.Digest() != attest.DigestOf(b) {
			t.Errorf("%d bytes: size %d, digest %s", n, u.Size(), u.Digest())
		}
		if _, err := read(s, attest.DigestOf(b)); !errors.Is(err, ErrNotFound) {
			t.Errorf("%d bytes, before they are committed: %v", n, err)
		}
		if err := u.Commit(t.Context(), attest.DigestOf(b)); err != nil {
			t.Fatal(err)
		}
		if err := u.Cancel(t.Context()); err != nil {
			t.Errorf("cancelling what is over: %v", err)
		}
		for range 2 {
			if got, err := read(s, attest.DigestOf(b)); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes: got %d, %v", n, len(got), err)
			}
		}
		got, err := s.Read(t.Context(), attest.DigestOf(b), int64(n))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes read at once: got %d, %v", n, len(got), err)
		}
		if _, err := s.Read(t.Context(), attest.DigestOf(b), int64(n)-1); err == nil {
			t.Errorf("%d bytes are read above the limit", n)
		}
	}
	var listed int
	for l, err := range s.List(t.Context()) {
		if err != nil || l.Modified.IsZero() {
			t.Errorf("%+v, %v", l, err)
		}
		listed++
	}
	if listed != len(sizes) {
		t.Errorf("%d listed, want %d", listed, len(sizes))
	}
	if left, err := os.ReadDir(k.uploads()); err != nil || len(left) != 0 {
		t.Errorf("uploads leave %v, %v", left, err)
	}
}

// TestSHA512: the bytes can be named by it before they are committed.
func TestSHA512(t *testing.T) {
	s, _ := newDisk(t)
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	const abc = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
	if got, err := u.SHA512(t.Context()); got != abc || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

// TestWrongDigest: bytes do not get the name of others, and the upload is over.
func TestWrongDigest(t *testing.T) {
	s, k := newDisk(t)
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(strings.NewReader("one")); err != nil {
		t.Fatal(err)
	}
	other := attest.DigestOf([]byte("other"))
	if err := u.Commit(t.Context(), other); !errors.Is(err, ErrDigest) {
		t.Errorf("%v", err)
	}
	if _, err := read(s, other); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := u.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(k.uploads()); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if _, err := u.ReadFrom(strings.NewReader("x")); err == nil {
		t.Error("a cancelled upload goes on")
	}
}

// TestDamage: bytes that changed are found, whether they were read before or
// not, whatever changed about them, and the right ones repair them.
func TestDamage(t *testing.T) {
	damages := map[string]func(path string, b []byte) error{
		"flipped":   func(path string, b []byte) error { b[len(b)/2] ^= 1; return os.WriteFile(path, b, 0o600) },
		"truncated": func(path string, b []byte) error { return os.Truncate(path, int64(len(b)/2)) },
		"emptied":   func(path string, _ []byte) error { return os.Truncate(path, 0) },
		"longer":    func(path string, b []byte) error { return os.WriteFile(path, append(b, 'x'), 0o600) },
		"replaced": func(path string, b []byte) error {
			return errors.Join(os.WriteFile(path+".new", bytes.ToUpper(b), 0o600), os.Rename(path+".new", path))
		},
	}
	for name, damage := range damages {
		for _, n := range []int{100, smallSize + 100} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				s, k := newDisk(t)
				b := filled(n)
				d := put(t, s, k, b)
				old := time.Now().Add(-time.Hour)
				if err := os.Chtimes(k.path(d), old, old); err != nil {
					t.Fatal(err)
				}
				if _, err := read(s, d); err != nil {
					t.Fatal(err)
				}
				if err := damage(k.path(d), bytes.Clone(b)); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if got, err := read(s, d); !errors.Is(err, ErrDamaged) {
						t.Errorf("%d bytes, %v", len(got), err)
					}
				}
				if err := s.Check(t.Context(), d, nil); !errors.Is(err, ErrDamaged) {
					t.Errorf("checking: %v", err)
				}
				put(t, s, k, b)
				if got, err := read(s, d); err != nil || !bytes.Equal(got, b) {
					t.Errorf("after the repair: %d bytes, %v", len(got), err)
				}
				if err := s.Check(t.Context(), d, nil); err != nil {
					t.Errorf("checking after the repair: %v", err)
				}
			})
		}
	}
}

// TestRemembered: what was found whole is not hashed again while it stays the
// version it was.
func TestRemembered(t *testing.T) {
	s, k := newDisk(t)
	d := put(t, s, k, filled(smallSize+1))
	v, err := k.Version(t.Context(), d)
	if err != nil || v.Size != smallSize+1 {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := read(s, d); err != nil {
		t.Fatal(err)
	}
	if s.isWhole(d, v) {
		t.Error("an object that changed less than a second ago is trusted")
	}
	s.remember(d, v)
	if !s.isWhole(d, v) || s.isWhole(attest.DigestOf(nil), v) {
		t.Error("an object that was found whole is not remembered, or another is")
	}
	for name, change := range map[string]func(*Version){
		"size": func(v *Version) { v.Size++ }, "inode": func(v *Version) { v.File.Inode++ }, "device": func(v *Version) { v.File.Device++ },
		"written": func(v *Version) { v.File.Written++ }, "changed": func(v *Version) { v.File.Changed++ }, "object": func(v *Version) { v.Object = "x" },
	} {
		other := v
		change(&other)
		if s.isWhole(d, other) {
			t.Errorf("%s changed, and the object is still trusted", name)
		}
	}
	for i := range maxWhole + 10 {
		s.remember(attest.DigestFromSum([]byte{byte(i >> 16), byte(i >> 8), byte(i)}), Version{})
	}
	if len(s.whole) > maxWhole {
		t.Errorf("%d objects are remembered", len(s.whole))
	}
}

// TestMalformedDigests reach no path.
func TestMalformedDigests(t *testing.T) {
	s, _ := newDisk(t)
	for _, d := range []attest.Digest{"", "sha256:", "sha256:../../x", "sha512:00", attest.Digest("sha256:" + strings.Repeat("A", 64))} {
		if _, err := s.Open(t.Context(), d); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("opening %q: %v", d, err)
		}
		if err := s.Remove(t.Context(), d); err == nil {
			t.Errorf("removing %q: no error", d)
		}
	}
}

// TestEveryFault breaks each step of a commit: it is not acknowledged, nothing
// wrong is served, and putting it again works.
func TestEveryFault(t *testing.T) {
	broken := errors.New("broken by the test")
	for name, f := range map[string]func(k *Disk){
		"sync of the file":              func(k *Disk) { k.sync = func(*os.File) error { return broken } },
		"sync of the file, no room":     func(k *Disk) { k.sync = func(*os.File) error { return unix.ENOSPC } },
		"sync of the directory":         func(k *Disk) { k.syncDir = func(string) error { return broken } },
		"the directory of uploads gone": func(k *Disk) { os.RemoveAll(k.uploads()) },
	} {
		s, k := newDisk(t)
		f(k)
		u, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.ReadFrom(strings.NewReader("content"))
		d := attest.DigestOf([]byte("content"))
		if err == nil {
			err = u.Commit(t.Context(), d)
		}
		if err == nil {
			t.Errorf("%s: acknowledged", name)
		}
		if strings.Contains(name, "no room") && !errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
		if err := u.Cancel(t.Context()); err != nil {
			t.Errorf("%s: cancelling: %v", name, err)
		}
		if got, err := read(s, d); err == nil && string(got) != "content" {
			t.Errorf("%s: %q is served", name, got)
		}
		k.sync, k.syncDir = fdatasync, syncDir
		if err := os.MkdirAll(k.uploads(), 0o700); err != nil {
			t.Fatal(err)
		}
		if got, err := read(s, put(t, s, k, []byte("content"))); err != nil || string(got) != "content" {
			t.Errorf("%s: again: %q, %v", name, got, err)
		}
	}
}

// TestBrokenSender: an upload can go on after its sender broke off, with what
// came before.
func TestBrokenSender(t *testing.T) {
	s, _ := newDisk(t)
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("connection reset")
	n, err := u.ReadFrom(io.MultiReader(strings.NewReader("one "), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || n != 4 || u.Size() != 4 {
		t.Fatalf("%d, %v", n, err)
	}
	if _, err := u.ReadFrom(strings.NewReader("two")); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(t.Context(), attest.DigestOf([]byte("one two"))); err != nil {
		t.Error(err)
	}
}

// TestRoom: where too little is free nothing comes in, at the beginning and in
// the middle, and reading goes on.
func TestRoom(t *testing.T) {
	s, k := newDisk(t)
	d := put(t, s, k, []byte("before"))
	f := &scarce{Backend: k, free: 1000, all: 10_000}
	s = New(f, &Options{MinFree: 10, MinFreePercent: 10})
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.free = 999
	if _, err := s.Begin(t.Context()); !errors.Is(err, ErrFull) {
		t.Errorf("beginning: %v", err)
	}
	if n, err := u.ReadFrom(io.LimitReader(endless{}, 2*roomEvery)); !errors.Is(err, ErrFull) || n > roomEvery+copySize {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := u.Commit(t.Context(), u.Digest()); err == nil {
		t.Error("half an upload is committed")
	}
	if got, err := read(s, d); err != nil || string(got) != "before" {
		t.Errorf("%q, %v", got, err)
	}
}

type scarce struct {
	Backend
	free, all int64
}

func (s *scarce) Free() (int64, int64, error) { return s.free, s.all, nil }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestNextStart: what an earlier process did not finish is gone, what it did is
// there, and files that are nobody's are left alone.
func TestNextStart(t *testing.T) {
	s, k := newDisk(t)
	d := put(t, s, k, []byte("content"))
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(strings.NewReader("half")); err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(k.shards(), "00", "README")
	if err := os.WriteFile(note, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := OpenDisk(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(New(again, nil), d); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if left, err := os.ReadDir(again.uploads()); err != nil || len(left) != 0 {
		t.Errorf("uploads: %v, %v", left, err)
	}
	if _, err := os.Stat(note); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), d); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(k.path(d)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed, and there: %v", err)
	}
}
