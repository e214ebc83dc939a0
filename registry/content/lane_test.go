package content

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
)

// noise is n bytes that no two places have alike.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // it never fails
	return b
}

// laneSizes are around everything that a size decides of a large upload.
var laneSizes = []int{
	copySize, copySize + 1, pieceSize - 1, pieceSize, pieceSize + 1, pieceSize + directUnit, pieceSize + directUnit + 1,
	pieces*pieceSize - 1, pieces * pieceSize, (pieces+2)*pieceSize + 3*directUnit + 17,
}

// disks are what a large upload may find.
var disks = map[string]func(k *Disk){
	"as it is": func(*Disk) {},
	"refuses direct writes when asked": func(k *Disk) {
		k.setDirect = func(*os.File, bool) error { return unix.EINVAL }
	},
	"refuses the direct writes":              refuseDirect(unix.EINVAL, 0),
	"refuses them after the first":           refuseDirect(unix.EINVAL, 1),
	"does not support the direct writes":     refuseDirect(unix.EOPNOTSUPP, 0),
	"refuses them once they are not aligned": stopShort(unix.EINVAL),
	"has no memory for lanes left": func(k *Disk) {
		for range mostLanes {
			k.lanes.take()
		}
	},
}

// isDirect reports whether a file is written past the page cache.
func isDirect(f *os.File) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_DIRECT != 0
}

// refuseDirect breaks direct writes after so many.
func refuseDirect(with error, after int) func(*Disk) {
	return func(k *Disk) {
		var mu sync.Mutex
		k.write = func(f *os.File, b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			if isDirect(f) {
				if after--; after < 0 {
					return 0, with
				}
			}
			return f.Write(b)
		}
	}
}

// stopShort has a direct write do 512 bytes, and fail.
func stopShort(with error) func(*Disk) {
	return func(k *Disk) {
		k.write = func(f *os.File, b []byte) (int, error) {
			if !isDirect(f) {
				return f.Write(b)
			}
			if err := setDirect(f, false); err != nil {
				return 0, err
			}
			n, err := f.Write(b[:512])
			return n, errors.Join(err, setDirect(f, true), with)
		}
	}
}

// quiet returns a store on a disk that syncs nothing, and what sets the disk
// back to what a new one is.
func quiet(t *testing.T) (s *Store, k *Disk, reset func()) {
	t.Helper()
	s, k = newDisk(t)
	reset = func() {
		k.lanes, k.write, k.setDirect = newLanes(), (*os.File).Write, setDirect
		k.copies.Store(false)
		k.sync, k.syncDir = func(*os.File) error { return nil }, func(string) error { return nil }
	}
	reset()
	return s, k, reset
}

// TestLargeUploads: what came in, in one request or in several that end
// anywhere, goes out, whatever the file system does not support.
func TestLargeUploads(t *testing.T) {
	for name, prepare := range disks {
		t.Run(name, func(t *testing.T) {
			s, k, reset := quiet(t)
			for _, n := range laneSizes {
				for _, cuts := range [][]int{{n}, {n / 3, n}, {directUnit, n}, {n / 4 / directUnit * directUnit, n / 2, n}, {n - 1, n}} {
					reset()
					prepare(k)
					b := noise(n)
					inPieces(t, s, b, cuts)
					if got, err := read(s, attest.DigestOf(b)); err != nil || !bytes.Equal(got, b) {
						t.Errorf("%d bytes, cut at %v: got %d, %v", n, cuts, len(got), err)
					}
				}
			}
		})
	}
}

// inPieces uploads b in requests that end at cuts.
func inPieces(t *testing.T, s *Store, b []byte, cuts []int) {
	t.Helper()
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from := 0
	for _, to := range cuts {
		got, err := u.ReadFrom(bytes.NewReader(b[from:to]))
		if err != nil || got != int64(to-from) {
			t.Fatalf("cut at %v: %d of %d bytes: %v", cuts, got, to-from, err)
		}
		if d := u.draft.(*file); d.direct || isDirect(d.open) {
			t.Errorf("cut at %v: the file is still written past the page cache", cuts)
		}
		if err := u.Rest(); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	if err := u.Commit(t.Context(), attest.DigestOf(b)); err != nil {
		t.Fatalf("cut at %v: %v", cuts, err)
	}
}

// TestDirect: where the file system lets, whole pieces go past the page cache,
// and nothing else does. One that refuses is asked once.
func TestDirect(t *testing.T) {
	s, k := newDisk(t)
	able := takesDirect(t, k)
	var direct, copied int
	k.write = func(f *os.File, b []byte) (int, error) {
		if isDirect(f) {
			direct += len(b)
		} else {
			copied += len(b)
		}
		return f.Write(b)
	}
	put(t, s, k, noise(2*pieceSize+directUnit+3))
	if able && (direct != 2*pieceSize+directUnit || copied != 3) {
		t.Errorf("%d bytes went past the page cache and %d did not", direct, copied)
	}
	inPieces(t, s, noise(2*pieceSize), []int{1, 2 * pieceSize})
	if able && k.copies.Load() {
		t.Error("a file system that takes direct writes is not given them any more")
	}
	asked := 0
	k.copies.Store(false)
	k.setDirect = func(*os.File, bool) error { asked++; return unix.EINVAL }
	for range 3 {
		put(t, s, k, noise(2*pieceSize))
	}
	if asked != 1 {
		t.Errorf("a file system that refuses was asked %d times", asked)
	}
}

// takesDirect reports whether the file system under k takes direct writes.
func takesDirect(t *testing.T, k *Disk) bool {
	t.Helper()
	f, err := os.Create(filepath.Join(k.dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = setDirect(f, true)
	if err == nil {
		_, err = f.Write(newLane().(*lane)[0])
	}
	return err == nil
}

// faults are what a write may do instead of writing.
var faults = map[string]struct {
	write func(f *os.File, b []byte) (int, error)
	want  error
}{
	"no room":                     {func(*os.File, []byte) (int, error) { return 0, unix.ENOSPC }, ErrFull},
	"no quota left":               {func(*os.File, []byte) (int, error) { return 0, unix.EDQUOT }, ErrFull},
	"broken":                      {func(*os.File, []byte) (int, error) { return 0, unix.EIO }, unix.EIO},
	"no room after a part":        {partly(unix.ENOSPC), ErrFull},
	"broken after a part":         {partly(unix.EIO), unix.EIO},
	"it happened, and is no news": {func(f *os.File, b []byte) (int, error) { n, _ := f.Write(b); return n, unix.EIO }, unix.EIO},
}

func partly(with error) func(*os.File, []byte) (int, error) {
	return func(f *os.File, b []byte) (int, error) {
		n, err := f.Write(b[:len(b)/2/directUnit*directUnit])
		return n, errors.Join(err, with)
	}
}

// TestEveryWrite breaks each write of a large upload: the upload is over,
// nothing of it is left or acknowledged, and the same upload works afterwards.
func TestEveryWrite(t *testing.T) {
	b := noise((pieces+2)*pieceSize + directUnit + 5)
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			s, k, reset := quiet(t)
			for at := range pieces + 2 + 2 { // the last piece takes two writes
				reset()
				count := 0
				k.write = func(f *os.File, b []byte) (int, error) {
					if count++; count == at+1 {
						return fault.write(f, b)
					}
					return f.Write(b)
				}
				endsWell(t, s, k, b, fault.want)
				if got, err := read(s, put(t, s, k, b)); err != nil || !bytes.Equal(got, b) {
					t.Errorf("write %d: again: %d bytes, %v", at, len(got), err)
				}
				if err := s.Remove(t.Context(), attest.DigestOf(b)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// endsWell uploads b, which fails as want says and leaves nothing.
func endsWell(t *testing.T, s *Store, k *Disk, b []byte, want error) {
	t.Helper()
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := u.ReadFrom(bytes.NewReader(b))
	if !errors.Is(err, want) || n > int64(len(b)) {
		t.Fatalf("%d bytes, %v, want %v", n, err, want)
	}
	if _, err := u.ReadFrom(bytes.NewReader(b[n:])); err == nil {
		t.Error("it goes on")
	}
	if err := u.Commit(t.Context(), attest.DigestOf(b)); err == nil {
		t.Error("it is committed")
	}
	if err := u.Cancel(t.Context()); err != nil {
		t.Errorf("cancelling: %v", err)
	}
	if left, err := os.ReadDir(k.uploads()); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if _, err := read(s, attest.DigestOf(b)); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
	if n := len(k.lanes.taken); n != 0 {
		t.Errorf("%d lanes are still taken", n)
	}
}

// TestDirectForGood: a file that cannot be taken back from direct writes takes
// no more.
func TestDirectForGood(t *testing.T) {
	s, k := newDisk(t)
	k.setDirect = func(f *os.File, on bool) error {
		if on {
			return nil
		}
		return unix.EIO
	}
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(bytes.NewReader(noise(pieceSize))); !errors.Is(err, unix.EIO) {
		t.Errorf("%v", err)
	}
	if err := u.Commit(t.Context(), attest.DigestOf(noise(pieceSize))); err == nil {
		t.Error("it is committed")
	}
}

// TestLargeBrokenSender: an upload whose sender broke off anywhere goes on
// there.
func TestLargeBrokenSender(t *testing.T) {
	broken := errors.New("connection reset")
	b := noise(2*pieceSize + 100)
	s, _, _ := quiet(t)
	for _, at := range []int{copySize, copySize + 1, pieceSize - 1, pieceSize, pieceSize + directUnit, 2*pieceSize + 1, len(b)} {
		u, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n, err := u.ReadFrom(io.MultiReader(bytes.NewReader(b[:at]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || n != int64(at) || u.Size() != n {
			t.Fatalf("after %d: %d bytes, %v", at, n, err)
		}
		if _, err := u.ReadFrom(bytes.NewReader(b[at:])); err != nil {
			t.Fatalf("after %d: %v", at, err)
		}
		if err := u.Commit(t.Context(), attest.DigestOf(b)); err != nil {
			t.Errorf("after %d: %v", at, err)
		}
		if got, err := read(s, attest.DigestOf(b)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("after %d: %d bytes, %v", at, len(got), err)
		}
	}
}

// TestManyLargeUploads: uploads that never end take the memory there is for
// them and no more, and others still come in.
func TestManyLargeUploads(t *testing.T) {
	s, k, _ := quiet(t)
	var all sync.WaitGroup
	var senders []*io.PipeWriter
	for range 3 * mostLanes {
		u, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, w := io.Pipe()
		senders = append(senders, w)
		all.Go(func() {
			if n, err := u.ReadFrom(r); err != nil || n != 2*pieceSize {
				t.Errorf("%d bytes, %v", n, err)
			}
			if err := u.Commit(t.Context(), attest.DigestOf(noise(2*pieceSize))); err != nil {
				t.Error(err)
			}
		})
		if _, err := w.Write(noise(2 * pieceSize)[:copySize+1]); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(k.lanes.taken); n != mostLanes {
		t.Errorf("%d lanes are taken, want %d", n, mostLanes)
	}
	for _, w := range senders {
		if _, err := w.Write(noise(2 * pieceSize)[copySize+1:]); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	all.Wait()
	if n := len(k.lanes.taken); n != 0 {
		t.Errorf("%d lanes are still taken", n)
	}
}
