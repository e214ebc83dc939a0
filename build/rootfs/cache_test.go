package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
)

func xattrs(t testing.TB, root string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		buf := make([]byte, 1024)
		if n, _ := unix.Llistxattr(name, buf); n > 0 {
			found = append(found, name+": "+string(buf[:n]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Layers come plain, by gzip and by zstd, in a manifest or behind an index, and
// make the same tree.
func TestForms(t *testing.T) {
	plain := layer(t, dir("a"), reg("a/f"))
	for mediaType, b := range map[string][]byte{
		ocispec.MediaTypeImageLayer:     plain,
		ocispec.MediaTypeImageLayerGzip: zipped(t, plain),
		ocispec.MediaTypeImageLayerZstd: zstded(t, plain),
		dockerLayer:                     zipped(t, plain),
	} {
		s := &store{}
		m := s.manifest(t, ocispec.Manifest{Layers: []ocispec.Descriptor{s.put(mediaType, b)}}, []digest.Digest{digest.Digest(attest.DigestOf(plain))})
		other := m
		m.Platform = &ocispec.Platform{OS: "linux", Architecture: openCache(t, nil).o.Architecture}
		other.Platform = &ocispec.Platform{OS: "linux", Architecture: "s390x"}
		index := s.putJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{other, m}})
		r := unpack(t, openCache(t, nil), s, index)
		if got := list(t, r.Dir); got != "a/ 755\na/f 644 a/f\n" || r.Manifest != attest.Digest(m.Digest) {
			t.Errorf("%s: %s\n%s", mediaType, r.Manifest, got)
		}
	}
}

// A layout of any tool is a source.
func TestLayout(t *testing.T) {
	s := &store{}
	d := s.image(t, layer(t, reg("f")))
	layout := t.TempDir()
	blobs := filepath.Join(layout, "blobs/sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range s.blobs {
		if err := os.WriteFile(filepath.Join(blobs, name.Encoded()), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	index := s.putJSON(t, "", ocispec.Index{Manifests: []ocispec.Descriptor{d}})
	if _, _, err := Layout(layout); err == nil || !strings.Contains(err.Error(), "is no OCI image layout") {
		t.Errorf("without an index: %v", err)
	}
	if err := os.WriteFile(filepath.Join(layout, "index.json"), s.blobs[index.Digest], 0o644); err != nil {
		t.Fatal(err)
	}
	from, images, err := Layout(layout)
	if err != nil || len(images) != 1 {
		t.Fatal(images, err)
	}
	if got := list(t, unpack(t, openCache(t, nil), from, images[0]).Dir); got != "f 644 f\n" {
		t.Error(got)
	}
}

// What our own capture packs is an image like any other.
func TestPackedImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("of the machine"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := build.Pack(filepath.Join(t.TempDir(), "layout"), runtime.GOARCH, []string{file})
	if err != nil {
		t.Fatal(err)
	}
	from, images, err := Layout(l.Dir)
	if err != nil || len(images) != 1 {
		t.Fatal(images, err)
	}
	r := unpack(t, openCache(t, nil), from, images[0])
	if b, err := os.ReadFile(filepath.Join(r.Dir, file)); err != nil || string(b) != "of the machine" || r.Manifest != l.Digest {
		t.Errorf("%q, %v, %s", b, err, r.Manifest)
	}
}

// What is not what it says it is, is refused, and leaves nothing.
func TestUnverified(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *store, m *ocispec.Manifest, diffs []digest.Digest)
		want  string
	}{
		"layer changed": {func(s *store, m *ocispec.Manifest, _ []digest.Digest) {
			b := slices.Clone(s.blobs[m.Layers[0].Digest])
			b[600] ^= 1
			s.blobs[m.Layers[0].Digest] = b
		}, "other content than its digest says"},
		"layer longer": {func(s *store, m *ocispec.Manifest, _ []digest.Digest) {
			s.blobs[m.Layers[0].Digest] = append(s.blobs[m.Layers[0].Digest], 0)
		}, "bytes its descriptor says"},
		"layer shorter": {func(s *store, m *ocispec.Manifest, _ []digest.Digest) {
			b := s.blobs[m.Layers[0].Digest]
			s.blobs[m.Layers[0].Digest] = b[:len(b)-1]
		}, "bytes its descriptor says"},
		"layer gone":     {func(s *store, m *ocispec.Manifest, _ []digest.Digest) { delete(s.blobs, m.Layers[0].Digest) }, "fetching"},
		"other contents": {func(_ *store, _ *ocispec.Manifest, diffs []digest.Digest) { diffs[0] = digest.FromString("x") }, "configuration names"},
		"other hash":     {func(_ *store, _ *ocispec.Manifest, diffs []digest.Digest) { diffs[0] = digest.SHA512.FromString("x") }, "sha512"},
		"unknown layers": {func(_ *store, m *ocispec.Manifest, _ []digest.Digest) { m.Layers[0].MediaType = "text/plain" }, "not known"},
		"no layers":      {func(_ *store, m *ocispec.Manifest, _ []digest.Digest) { m.Layers = []ocispec.Descriptor{} }, "0 layers"},
	} {
		t.Run(name, func(t *testing.T) {
			s, cache := &store{}, openCache(t, nil)
			l := layer(t, reg("f"), reg("g"))
			m := ocispec.Manifest{Layers: []ocispec.Descriptor{s.put(ocispec.MediaTypeImageLayer, l)}}
			diffs := []digest.Digest{digest.Digest(attest.DigestOf(l))}
			c.spoil(s, &m, diffs)
			if _, err := cache.Unpack(t.Context(), s, s.manifest(t, m, diffs)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			nothingLeft(t, cache)
		})
	}
}

// What is no image for this machine is refused before a layer is read.
func TestNoImage(t *testing.T) {
	s := &store{}
	l := []ocispec.Descriptor{s.put(ocispec.MediaTypeImageLayer, layer(t, reg("f")))}
	for want, d := range map[string]ocispec.Descriptor{
		"is no image":            {MediaType: "text/plain"},
		"no manifest for linux/": s.putJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}}}}),
		"no image to run builds": s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: s.putJSON(t, "text/plain", 1), Layers: l}),
		"it is for linux/s390x":  s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{Layers: l, Config: s.putJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "s390x"}, RootFS: ocispec.RootFS{DiffIDs: []digest.Digest{"x"}}})}),
		"names 0 layers":         s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{Layers: l, Config: s.putJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{RootFS: ocispec.RootFS{DiffIDs: []digest.Digest{}}})}),
		"exceeds the limit":      {MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1 << 40},
		"is not the 1 bytes":     {MediaType: ocispec.MediaTypeImageManifest, Digest: s.put("", []byte("{}")).Digest, Size: 1},
	} {
		if _, err := openCache(t, nil).Unpack(t.Context(), s, d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if slices.Contains(s.fetched, ocispec.MediaTypeImageLayer) {
		t.Error("a layer was fetched")
	}
}

// An image is unpacked once, by whoever comes first; the others wait, and later
// ones read no layer.
func TestOnce(t *testing.T) {
	s := &store{}
	d := s.image(t, layer(t, reg("f")))
	var mu sync.Mutex
	fetcher := fetcherFunc(func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
		mu.Lock()
		defer mu.Unlock()
		return s.Fetch(ctx, d)
	})
	cache := openCache(t, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			another, err := Open(cache.dir, nil) // as another program would
			if err != nil {
				t.Error(err)
				return
			}
			r, err := another.Unpack(t.Context(), fetcher, d)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(r.Dir, "f")); err != nil || string(b) != "f" {
				t.Errorf("%q, %v", b, err)
			}
			r.Close()
		})
	}
	all.Wait()
	fetched := 0
	for _, m := range s.fetched {
		if m == ocispec.MediaTypeImageLayer {
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("the layer was fetched %d times", fetched)
	}
}

type fetcherFunc func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)

func (f fetcherFunc) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return f(ctx, d)
}

// What a crash left is thrown away, not built upon.
func TestAfterCrash(t *testing.T) {
	s, cache := &store{}, openCache(t, nil)
	d := s.image(t, layer(t, reg("f")))
	im, err := cache.resolve(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(cache.dir, newDir, im.key(), "root/evil")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(left), 0o500); err != nil {
		t.Fatal(err)
	}
	if got := list(t, unpack(t, cache, s, d).Dir); got != "f 644 f\n" {
		t.Error(got)
	}
}

// Given up, it leaves nothing; others can have their turn.
func TestGivenUp(t *testing.T) {
	s, cache := &store{}, openCache(t, nil)
	d := s.image(t, layer(t, reg("f")))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := cache.Unpack(ctx, fetcherFunc(func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
		if d.MediaType == ocispec.MediaTypeImageLayer {
			cancel()
		}
		return s.Fetch(ctx, d)
	}), d)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	nothingLeft(t, cache)
	unpack(t, cache, s, d)
}

func TestCollect(t *testing.T) {
	s, cache := &store{}, openCache(t, nil)
	now := time.Now()
	file := func(name string) ocispec.Descriptor {
		return s.image(t, layer(t, tar.Header{Typeflag: tar.TypeDir, Name: "d", Mode: 0o500}, reg("d/"+name)))
	}
	used := unpack(t, cache, s, file("used"))
	var dirs []string
	for i, name := range []string{"a", "b", "c"} {
		r := unpack(t, cache, s, file(name))
		dirs = append(dirs, r.Dir)
		if err := os.Chtimes(r.lock.Name(), now, now.Add(time.Duration(i-10)*time.Hour)); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	there := func() (all []bool) {
		for _, d := range append(slices.Clone(dirs), used.Dir) {
			_, err := os.Stat(d)
			all = append(all, err == nil)
		}
		return all
	}
	for _, c := range []struct {
		keep  Keep
		freed int64
		want  []bool
	}{
		{Keep{}, 0, []bool{true, true, true, true}},
		{Keep{Age: 11 * time.Hour, Bytes: 100}, 0, []bool{true, true, true, true}},
		{Keep{Bytes: 13 - 1}, 3, []bool{false, true, true, true}},
		{Keep{Age: 8*time.Hour + time.Minute}, 3, []bool{false, false, true, true}},
		{Keep{Age: time.Nanosecond, Bytes: 1}, 3, []bool{false, false, false, true}},
	} {
		freed, err := cache.Collect(t.Context(), now.Add(time.Second), c.keep)
		if err != nil || freed != c.freed || !slices.Equal(there(), c.want) {
			t.Errorf("%+v: freed %d, %v, there %v; want %d, %v", c.keep, freed, err, there(), c.freed, c.want)
		}
	}
	if left := list(t, filepath.Join(cache.dir, newDir)); left != "" {
		t.Errorf("left:\n%s", left)
	}
}

// A cache that others can write to is not used.
func TestPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	if _, err := Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), "others can write to") {
		t.Error(err)
	}
}

// Whatever a layer holds, unpacking it ends, panics nowhere and writes nothing
// but files, directories and links below the root.
func FuzzLayer(f *testing.F) {
	f.Add(layer(f, dir("a"), reg("a/f"), sym("l", "a"), link("h", "a/f")))
	f.Add(layer(f, reg("a/f"), reg("a/.wh.f"), reg(".wh..wh..opq")))
	f.Add(layer(f, sym("l", "/"), reg("l/f"), reg("../f")))
	f.Add(sparseTar(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Without the cache, which waits for the disk.
		beside := t.TempDir()
		dir := filepath.Join(beside, "root")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		tr, err := newTree(dir, Limits{Bytes: 1 << 20, Entries: 50})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.close()
		defer removeTree(dir)
		s := &store{}
		if tr.apply(t.Context(), s, s.put(ocispec.MediaTypeImageLayer, b), digest.Digest(attest.DigestOf(b))) == nil {
			if err := tr.finish(); err != nil {
				t.Error(err)
			}
		}
		if all, err := os.ReadDir(beside); err != nil || len(all) != 1 {
			t.Errorf("beside the root: %v, %v", all, err)
		}
		err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode()&^(fs.ModePerm|fs.ModeDir|fs.ModeSymlink) != 0 {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
