package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/registry/content/s3"
)

// noise returns n bytes that are the same for the same seed and n.
func noise(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

func bytesOf(seed byte, n int64) []byte {
	b, err := io.ReadAll(noise(seed, n))
	if err != nil {
		panic(err)
	}
	return b
}

func isMissing(err error) bool {
	var e storagedriver.PathNotFoundError
	return errors.As(err, &e) && e.DriverName == "s3"
}

// begin returns a writer of path.
func begin(t *testing.T, d *s3.Driver, path string, add bool) storagedriver.FileWriter {
	t.Helper()
	w, err := d.Writer(t.Context(), path, add)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t *testing.T, w storagedriver.FileWriter, b []byte) {
	t.Helper()
	if n, err := w.Write(b); err != nil || n != len(b) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds fails unless path has exactly the bytes want, read from several places.
func holds(t *testing.T, d *s3.Driver, path string, want []byte) {
	t.Helper()
	size := int64(len(want))
	for _, offset := range slices.Compact([]int64{0, size / 2, max(size-7, 0), size, size + 3}) {
		r, err := d.Reader(t.Context(), path, offset)
		must(t, err)
		got, err := io.ReadAll(r)
		must(t, errors.Join(err, r.Close()))
		if !bytes.Equal(got, want[min(offset, size):]) {
			t.Fatalf("%s from %d: %d bytes that are not the %d written", path, offset, len(got), len(want[min(offset, size):]))
		}
	}
	f, err := d.Stat(t.Context(), path)
	must(t, err)
	if f.Size() != size || f.IsDir() || f.Path() != path || time.Since(f.ModTime()) > time.Hour {
		t.Errorf("%s is %d bytes, directory %v, of %v; want %d", f.Path(), f.Size(), f.IsDir(), f.ModTime(), size)
	}
}

// TestSizes writes blobs around every edge: none, one byte, one part, more.
func TestSizes(t *testing.T) {
	const part = 5 << 20
	d := open(t, server, newBucket(t), quick())
	for _, size := range []int64{0, 1, part - 1, part, part + 1, 2 * part, 2*part + 1} {
		path := fmt.Sprintf("/uploads/%d", size)
		want := bytesOf(1, size)
		w := begin(t, d, path, false)
		write(t, w, want)
		if _, err := d.Stat(t.Context(), path); !isMissing(err) {
			t.Errorf("%d bytes can be seen before they are committed: %v", size, err)
		}
		must(t, w.Commit(t.Context()))
		must(t, w.Close())
		if w.Size() != size {
			t.Errorf("the writer of %d bytes counts %d", size, w.Size())
		}
		holds(t, d, path, want)
		to := fmt.Sprintf("/blobs/sha256/aa/%d", size)
		must(t, d.Move(t.Context(), path, to))
		holds(t, d, to, want)
		if _, err := d.Stat(t.Context(), path); !isMissing(err) {
			t.Errorf("%d bytes are still where they were moved from: %v", size, err)
		}
		must(t, d.Delete(t.Context(), to))
		if _, err := d.Reader(t.Context(), to, 0); !isMissing(err) {
			t.Errorf("%d bytes are still there after Delete: %v", size, err)
		}
	}
}

// TestResume hands an upload from writer to writer in pieces of every kind,
// each through a driver that knows nothing of the ones before: what a restart
// of the server between two requests looks like.
func TestResume(t *testing.T) {
	const part = 5 << 20
	for name, pieces := range map[string][]int64{
		"small":            {3, 4, 0, 5},
		"nothing at first": {0, 0, 2*part + 1},
		"exact parts":      {part, part, part},
		"around a part":    {part - 1, 2, part - 2, 1},
		"large and small":  {2*part + 7, 1, part, 0, 3*part - 1},
		"tail, then parts": {9, 3 * part},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := newBucket(t)
			want, at, size := []byte{}, "/uploads/x", int64(0)
			for i, n := range pieces {
				d := open(t, server, bucket, quick())
				w := begin(t, d, at, i > 0)
				if w.Size() != size {
					t.Fatalf("piece %d begins at %d, want %d", i, w.Size(), size)
				}
				b := bytesOf(byte(i), n)
				write(t, w, b)
				want, size = append(want, b...), size+n
				must(t, w.Close())
				if w.Size() != size {
					t.Fatalf("piece %d ends at %d, want %d", i, w.Size(), size)
				}
				if all, err := d.List(t.Context(), "/"); err != nil || len(all) > 0 {
					t.Errorf("an unfinished upload shows: %v, %v", all, err)
				}
			}
			d := open(t, server, bucket, quick())
			must(t, begin(t, d, at, true).Commit(t.Context()))
			holds(t, d, at, want)
			if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) != 1 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestCrash drops a writer without a word, as kill -9 does, and takes it up
// again: everything an earlier Close promised is there, in order.
func TestCrash(t *testing.T) {
	const part = 5 << 20
	for name, tc := range map[string]struct{ closed, lost int64 }{
		"before the first part":  {7, part - 100},
		"after the first part":   {7, 3*part + 5},
		"between parts":          {part + 9, part - 20},
		"parts behind the tail":  {part + 9, 3*part + 1},
		"nothing after the note": {2*part + 9, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, server, newBucket(t), quick())
			all := bytesOf(3, tc.closed+tc.lost+part)
			w := begin(t, d, "/uploads/x", false)
			write(t, w, all[:tc.closed])
			must(t, w.Close())
			lost := begin(t, d, "/uploads/x", true)
			write(t, lost, all[tc.closed:tc.closed+tc.lost])
			// No Close. The next process waits until requests under way are over.
			w = settled(t, d, "/uploads/x")
			if w.Size() < tc.closed || w.Size() > tc.closed+tc.lost {
				t.Fatalf("goes on at %d; %d were promised, %d written", w.Size(), tc.closed, tc.closed+tc.lost)
			}
			if tc.lost > part && w.Size() == tc.closed {
				t.Errorf("parts that had arrived are gone")
			}
			write(t, w, all[w.Size():])
			must(t, w.Commit(t.Context()))
			holds(t, d, "/uploads/x", all)
		})
	}
}

// settled takes up an upload once its size stands still.
func settled(t *testing.T, d *s3.Driver, path string) storagedriver.FileWriter {
	t.Helper()
	for last := int64(-1); ; time.Sleep(200 * time.Millisecond) {
		w := begin(t, d, path, true)
		if w.Size() == last {
			return w
		}
		last = w.Size()
	}
}

func TestAppendRefuses(t *testing.T) {
	d := open(t, server, newBucket(t), quick())
	if _, err := d.Writer(t.Context(), "/uploads/none", true); !isMissing(err) {
		t.Errorf("appending to nothing: %v", err)
	}
	must(t, d.PutContent(t.Context(), "/uploads/done", []byte("x")))
	if _, err := d.Writer(t.Context(), "/uploads/done", true); err == nil || isMissing(err) {
		t.Errorf("appending to what is finished: %v", err)
	}
	holds(t, d, "/uploads/done", []byte("x"))
}

func TestEndedWriters(t *testing.T) {
	bucket := newBucket(t)
	d := open(t, server, bucket, quick())
	ends := map[string]func(storagedriver.FileWriter) error{
		"closed":    func(w storagedriver.FileWriter) error { return w.Close() },
		"committed": func(w storagedriver.FileWriter) error { return w.Commit(t.Context()) },
		"cancelled": func(w storagedriver.FileWriter) error { return w.Cancel(t.Context()) },
	}
	for name, end := range ends {
		w := begin(t, d, "/uploads/"+name, false)
		write(t, w, []byte("x"))
		must(t, end(w))
		if _, err := w.Write([]byte("y")); err == nil {
			t.Errorf("%s: wrote on", name)
		}
		if err := w.Commit(t.Context()); err == nil {
			t.Errorf("%s: committed after it", name)
		}
		must(t, w.Close())
	}
	holds(t, d, "/uploads/committed", []byte("x"))
	for _, path := range []string{"/uploads/closed", "/uploads/cancelled"} {
		if _, err := d.Stat(t.Context(), path); !isMissing(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestCancel removes every trace, also of an upload other writers began.
func TestCancel(t *testing.T) {
	bucket := newBucket(t)
	d := open(t, server, bucket, quick())
	w := begin(t, d, "/uploads/x", false)
	write(t, w, bytesOf(1, 11<<20))
	must(t, w.Close())
	w = begin(t, d, "/uploads/x", true)
	write(t, w, bytesOf(1, 11<<20))
	must(t, w.Cancel(t.Context()))
	if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := d.Writer(t.Context(), "/uploads/x", true); !isMissing(err) {
		t.Errorf("appending to what was cancelled: %v", err)
	}
}

// TestDeleteUnfinished removes an upload by its path alone.
func TestDeleteUnfinished(t *testing.T) {
	bucket := newBucket(t)
	d := open(t, server, bucket, quick())
	for _, path := range []string{"/uploads/x", "/uploads/xy"} {
		w := begin(t, d, path, false)
		write(t, w, bytesOf(1, 6<<20))
		must(t, w.Close())
	}
	must(t, d.Delete(t.Context(), "/uploads/x"))
	if _, err := d.Writer(t.Context(), "/uploads/x", true); !isMissing(err) {
		t.Errorf("it can still be taken up: %v", err)
	}
	if w := begin(t, d, "/uploads/xy", true); w.Size() != 6<<20 {
		t.Errorf("its neighbour has %d bytes", w.Size())
	}
	must(t, d.Delete(t.Context(), "/uploads"))
	if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestOverwriteAndVersion(t *testing.T) {
	d := open(t, server, newBucket(t), quick())
	ctx := t.Context()
	seen := map[string]bool{}
	for i, n := range []int64{4, 4, 6 << 20, 2, 0} {
		w := begin(t, d, "/blobs/a", false)
		write(t, w, bytesOf(byte(i), n))
		must(t, w.Commit(ctx))
		holds(t, d, "/blobs/a", bytesOf(byte(i), n))
		v, err := d.Version(ctx, "/blobs/a")
		must(t, err)
		again, err := d.Version(ctx, "/blobs/a")
		must(t, err)
		f, err := d.Stat(ctx, "/blobs/a")
		must(t, err)
		if stat := f.(interface{ Version() string }).Version(); v != again || v != stat {
			t.Errorf("one version, three names: %s, %s, %s", v, again, stat)
		}
		if seen[v] {
			t.Errorf("version %d has the name of an earlier one: %s", i, v)
		}
		seen[v] = true
	}
	if _, err := d.Version(ctx, "/blobs/none"); !isMissing(err) {
		t.Errorf("version of nothing: %v", err)
	}
	if u, err := d.RedirectURL(nil, "/blobs/a"); u != "" || err != nil {
		t.Errorf("redirects to %q, %v", u, err)
	}
}

func TestMoveOntoItself(t *testing.T) {
	d := open(t, server, newBucket(t), quick())
	must(t, d.PutContent(t.Context(), "/blobs/a", []byte("x")))
	must(t, d.Move(t.Context(), "/blobs/a", "/blobs/a"))
	holds(t, d, "/blobs/a", []byte("x"))
	if err := d.Move(t.Context(), "/blobs/none", "/blobs/none"); !isMissing(err) {
		t.Errorf("moving nothing onto itself: %v", err)
	}
}

// TestThousands pages through more objects than S3 lists at once.
func TestThousands(t *testing.T) {
	const n = 1203
	d := open(t, server, newBucket(t), quick())
	var want []string
	for i := range n {
		path := fmt.Sprintf("/blobs/sha256/%02x/%04d", i%3, i)
		want = append(want, path)
		must(t, d.PutContent(t.Context(), path, []byte("x")))
	}
	slices.Sort(want)
	dirs, err := d.List(t.Context(), "/blobs/sha256")
	must(t, err)
	if diff := cmp.Diff([]string{"/blobs/sha256/00", "/blobs/sha256/01", "/blobs/sha256/02"}, dirs); diff != "" {
		t.Error(diff)
	}
	var files, seenDirs []string
	walk := func(f storagedriver.FileInfo) error {
		if f.IsDir() {
			seenDirs = append(seenDirs, f.Path())
		} else {
			files = append(files, f.Path())
		}
		return nil
	}
	must(t, d.Walk(t.Context(), "/", walk))
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append([]string{"/blobs", "/blobs/sha256"}, dirs...), seenDirs); diff != "" {
		t.Error(diff)
	}
	files = nil
	must(t, d.Walk(t.Context(), "/blobs", walk, storagedriver.WithStartAfterHint(want[1100])))
	if diff := cmp.Diff(want[1101:], files); diff != "" {
		t.Error(diff)
	}
	must(t, d.Delete(t.Context(), "/blobs"))
	if all, err := d.List(t.Context(), "/"); err != nil || len(all) > 0 {
		t.Errorf("%d left: %v", len(all), err)
	}
}

// TestForeignObjects leaves alone what is not ours, and does not trip over it.
func TestForeignObjects(t *testing.T) {
	bucket := newBucket(t)
	d := open(t, server, bucket, quick())
	for _, key := range []string{"other", "pre/fixed/a", "pre/fix/bad name", "pre/fix/dir/bad name"} {
		_, err := raw().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("x")})
		must(t, err)
	}
	must(t, d.PutContent(t.Context(), "/dir/a", []byte("x")))
	all, err := d.List(t.Context(), "/")
	must(t, err)
	if diff := cmp.Diff([]string{"/dir"}, all); diff != "" {
		t.Error(diff)
	}
	must(t, d.Walk(t.Context(), "/", func(f storagedriver.FileInfo) error {
		if f.Path() != "/dir" && f.Path() != "/dir/a" {
			t.Errorf("walked to %s", f.Path())
		}
		return nil
	}))
}

// TestSweep removes what is old and keeps what is young.
func TestSweep(t *testing.T) {
	bucket := newBucket(t)
	d := open(t, server, bucket, quick())
	ctx := t.Context()
	w := begin(t, d, "/uploads/parts", false)
	write(t, w, bytesOf(1, 6<<20))
	must(t, w.Close())
	w = begin(t, d, "/uploads/small", false)
	must(t, w.Close())
	key, damaged := "pre/fix/blobs/half", "pre/fix/!unfinished/uploads/damaged"
	_, err := raw().CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
	must(t, err)
	foreign := "elsewhere/half"
	_, err = raw().CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: &bucket, Key: &foreign})
	must(t, err)
	_, err = raw().PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: &damaged, Body: strings.NewReader("?")})
	must(t, err)
	must(t, d.PutContent(ctx, "/blobs/whole", []byte("x")))

	if n, err := d.Sweep(ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("swept %d that are young: %v", n, err)
	}
	if w := begin(t, d, "/uploads/parts", true); w.Size() != 6<<20 {
		t.Errorf("goes on at %d", w.Size())
	}
	if n, err := d.Sweep(ctx, -time.Hour); n != 4 || err != nil {
		t.Errorf("swept %d, %v; want 4", n, err)
	}
	if diff := cmp.Diff([]string{"pre/fix/blobs/whole"}, keys(t, bucket)); diff != "" {
		t.Error(diff)
	}
	if open := openUploads(t, bucket); len(open) != 1 || !strings.HasPrefix(open[0], foreign) {
		t.Errorf("open uploads: %q; want the foreign one alone", open)
	}
	if _, err := d.Writer(ctx, "/uploads/parts", true); !isMissing(err) {
		t.Errorf("appending to what was swept: %v", err)
	}
}

// TestSweepKeepsWhatGoesOn keeps an upload that began long ago and was added to
// since.
func TestSweepKeepsWhatGoesOn(t *testing.T) {
	d := open(t, server, newBucket(t), quick())
	w := begin(t, d, "/uploads/x", false)
	write(t, w, bytesOf(1, 6<<20))
	must(t, w.Close())
	time.Sleep(2100 * time.Millisecond) // S3 counts in seconds
	must(t, begin(t, d, "/uploads/x", true).Close())
	if n, err := d.Sweep(t.Context(), time.Second); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	w = begin(t, d, "/uploads/x", true)
	must(t, w.Commit(t.Context()))
	holds(t, d, "/uploads/x", bytesOf(1, 6<<20))
}

// TestCloseOutlivesItsCaller keeps what a client sent before it went away.
func TestCloseOutlivesItsCaller(t *testing.T) {
	d := open(t, server, newBucket(t), quick())
	ctx, cancel := context.WithCancel(t.Context())
	w, err := d.Writer(ctx, "/uploads/x", false)
	must(t, err)
	write(t, w, bytesOf(1, 1000))
	cancel()
	must(t, w.Close())
	w = begin(t, d, "/uploads/x", true)
	if w.Size() != 1000 {
		t.Errorf("goes on at %d", w.Size())
	}
	must(t, w.Commit(t.Context()))
	holds(t, d, "/uploads/x", bytesOf(1, 1000))
}

// TestSweptAtStart is New doing the same.
func TestSweptAtStart(t *testing.T) {
	bucket := newBucket(t)
	w := begin(t, open(t, server, bucket, quick()), "/uploads/x", false)
	write(t, w, bytesOf(1, 6<<20))
	must(t, w.Close())
	o := quick()
	open(t, server, bucket, o)
	if len(openUploads(t, bucket)) != 1 {
		t.Error("swept a young upload")
	}
	time.Sleep(1100 * time.Millisecond) // S3 counts in seconds
	o.StaleAfter = time.Millisecond
	open(t, server, bucket, o)
	if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestLarge streams far more than fits the writer's memory, and reads it back.
func TestLarge(t *testing.T) {
	sizes := []int64{100 << 20, 1 << 30}
	if testing.Short() {
		sizes = sizes[:1]
	}
	d := open(t, server, newBucket(t), nil)
	for _, size := range sizes {
		want := sha256.New()
		w := begin(t, d, "/uploads/large", false)
		peak := heapDuring(func() {
			if _, err := io.Copy(w, io.TeeReader(noise(9, size), want)); err != nil {
				t.Fatal(err)
			}
			must(t, w.Commit(t.Context()))
		})
		if peak > 24<<20 {
			t.Errorf("%d bytes took %d bytes of memory, want two parts of 8 MiB and little more", size, peak)
		}
		must(t, d.Move(t.Context(), "/uploads/large", "/blobs/large"))
		got := sha256.New()
		r, err := d.Reader(t.Context(), "/blobs/large", 0)
		must(t, err)
		n, err := io.Copy(got, r)
		must(t, errors.Join(err, r.Close()))
		if n != size || !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
			t.Errorf("read %d other bytes than the %d written", n, size)
		}
		if _, err := d.GetContent(t.Context(), "/blobs/large"); err == nil {
			t.Error("read all of it into memory")
		}
		must(t, d.Delete(t.Context(), "/blobs/large"))
	}
}

// heapDuring returns by how much the heap grew at most while f ran.
func heapDuring(f func()) int64 {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, stop, peak := heap(), make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for {
			select {
			case <-stop:
				peak <- most - before
				return
			case <-time.After(100 * time.Millisecond):
				most = max(most, heap())
			}
		}
	}()
	f()
	close(stop)
	return <-peak
}

// TestCancellation ends every kind of call when its context does.
func TestCancellation(t *testing.T) {
	bucket := newBucket(t)
	settles(t, func() {
		d := open(t, server, bucket, quick())
		defer d.Close()
		must(t, d.PutContent(t.Context(), "/blobs/a", bytesOf(1, 20<<20)))
		ctx, cancel := context.WithCancel(t.Context())
		r, err := d.Reader(ctx, "/blobs/a", 0)
		must(t, err)
		w, err := d.Writer(ctx, "/uploads/x", false)
		must(t, err)
		write(t, w, bytesOf(2, 7<<20))
		cancel()
		if n, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
			t.Errorf("read on: %d bytes, %v", n, err)
		}
		must(t, r.Close())
		if _, err := w.Write([]byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("wrote on: %v", err)
		}
		for name, err := range calls(ctx, d) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := w.Commit(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("commit: %v", err)
		}
		_ = w.Close() // keeps what it can
		if _, err := d.Stat(t.Context(), "/uploads/x"); !isMissing(err) {
			t.Errorf("a cancelled commit left an object: %v", err)
		}
		holds(t, d, "/blobs/a", bytesOf(1, 20<<20))
	})
}

// calls makes every call that changes nothing when its context is over.
func calls(ctx context.Context, d *s3.Driver) map[string]error {
	all := map[string]error{}
	_, all["get"] = d.GetContent(ctx, "/blobs/a")
	_, all["stat"] = d.Stat(ctx, "/blobs/a")
	_, all["version"] = d.Version(ctx, "/blobs/a")
	_, all["list"] = d.List(ctx, "/blobs")
	_, all["append"] = d.Writer(ctx, "/uploads/x", true)
	_, all["sweep"] = d.Sweep(ctx, time.Hour)
	all["put"] = d.PutContent(ctx, "/blobs/a", nil)
	all["move"] = d.Move(ctx, "/blobs/a", "/blobs/b")
	all["delete"] = d.Delete(ctx, "/blobs/a")
	all["walk"] = d.Walk(ctx, "/", func(storagedriver.FileInfo) error { return nil })
	return all
}
