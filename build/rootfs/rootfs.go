// Package rootfs makes of a builder image the root file system that builds run
// in: fetched by digest, verified, unpacked once and kept.
//
// An image is what anybody pushed, so nothing in it is believed. Every blob is
// verified against its descriptor and every layer against the image's own list
// of contents; an entry that could reach outside the tree, or be more than it
// looks, is an [*EntryError] that says which and why (entry.go). Nothing is
// ever written outside the cache, and nothing unverified is left in it.
//
//	rootfs.go   the cache
//	image.go    manifest and configuration: which layers, in which order
//	layer.go    one layer: decompressed, verified, its entries
//	entry.go    which entries are refused
//	tree.go     the tree they make
//	collect.go  what is no longer needed
package rootfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
)

// A Fetcher gives the content of a descriptor, as the repositories and layouts
// of oras-go do. What it gives need not be verified.
type Fetcher interface {
	Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
}

// Limits are what one image may be. Zero is the default.
type Limits struct {
	Bytes   int64 // of all layers, decompressed; 16 GiB
	Entries int   // of all layers; 2 million
	Layers  int   // 128
}

// Options are the options of a cache. The zero value is right.
type Options struct {
	Limits       Limits
	Architecture string // as Go names it; "" is this machine's
}

// A Cache keeps unpacked images. Programs may share its directory: an image is
// unpacked by one of them, aside, and is there at once and whole.
type Cache struct {
	dir string
	o   Options
}

// A Root is an unpacked image. It stays until it is closed, and must not be
// changed: others use it too.
type Root struct {
	Dir      string
	Manifest attest.Digest // of the platform's manifest
	Config   ocispec.Image

	lock *os.File
}

// Close lets the root be collected.
func (r *Root) Close() error { return r.lock.Close() }

// Names in the cache's directory. Each root has the name of its key.
const (
	rootsDir = "roots" // whole ones: root/ and about.json
	newDir   = "new"   // what is being unpacked or removed, by whoever has the lock
	locksDir = "locks" // one file a key, its time the last use; never removed
)

// Open opens a cache, and makes its directory where there is none. It refuses
// one that others can write to.
func Open(dir string, o *Options) (*Cache, error) {
	c := &Cache{}
	if o != nil {
		c.o = *o
	}
	if c.o.Architecture == "" {
		c.o.Architecture = runtime.GOARCH
	}
	c.o.Limits = c.o.Limits.filled()
	var err error
	if c.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	for _, d := range []string{rootsDir, newDir, locksDir} {
		if err := os.MkdirAll(filepath.Join(c.dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("cache of builder images: %w", err)
		}
	}
	if err := private(c.dir); err != nil {
		return nil, fmt.Errorf("cache of builder images: %w", err)
	}
	return c, nil
}

func (l Limits) filled() Limits {
	if l.Bytes == 0 {
		l.Bytes = 16 << 30
	}
	if l.Entries == 0 {
		l.Entries = 2_000_000
	}
	if l.Layers == 0 {
		l.Layers = 128
	}
	return l
}

// private reports an error for a directory whose content others can choose.
func private(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to somebody else", dir)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write to %s", dir)
	}
	return nil
}

// Unpack returns the root of an image, which is a manifest or an index that has
// one for the cache's architecture. It unpacks what the cache does not have.
func (c *Cache) Unpack(ctx context.Context, from Fetcher, image ocispec.Descriptor) (*Root, error) {
	im, err := c.resolve(ctx, from, image)
	if err != nil {
		return nil, fmt.Errorf("builder image %s: %w", image.Digest, err)
	}
	r, err := c.root(ctx, from, im)
	if err != nil {
		return nil, fmt.Errorf("builder image %s: %w", im.digest, err)
	}
	return r, nil
}

func (c *Cache) root(ctx context.Context, from Fetcher, im *image) (_ *Root, err error) {
	key := im.key()
	lock, err := os.OpenFile(filepath.Join(c.dir, locksDir, key), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	dir := filepath.Join(c.dir, rootsDir, key)
	// Who removes a root has its lock alone. Between unpacking one and using it
	// the lock may be lost for a moment, so it is looked for again.
	for {
		if err := acquire(ctx, lock, unix.LOCK_SH); err != nil {
			return nil, err
		}
		if _, err := os.Stat(dir); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := acquire(ctx, lock, unix.LOCK_EX); err != nil {
			return nil, err
		}
		if err := c.make(ctx, from, im, key); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	if err := os.Chtimes(lock.Name(), now, now); err != nil {
		return nil, err
	}
	return &Root{Dir: filepath.Join(dir, "root"), Manifest: im.digest, Config: im.config, lock: lock}, nil
}

// about says of a root what collecting it asks.
type about struct {
	Bytes   int64 `json:"bytes"`
	Entries int   `json:"entries"`
}

// make unpacks an image, unless somebody else did while this waited for the lock.
func (c *Cache) make(ctx context.Context, from Fetcher, im *image, key string) error {
	final, aside := filepath.Join(c.dir, rootsDir, key), filepath.Join(c.dir, newDir, key)
	if _, err := os.Stat(final); err == nil {
		return nil
	}
	// A crash before the rename leaves only what this removes.
	if err := removeTree(aside); err != nil {
		return err
	}
	if err := c.fill(ctx, from, im, aside); err != nil {
		return errors.Join(err, removeTree(aside))
	}
	if err := os.Rename(aside, final); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(final))
}

// fill makes dir a whole root that is on the disk.
func (c *Cache) fill(ctx context.Context, from Fetcher, im *image, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o700); err != nil {
		return err
	}
	t, err := newTree(filepath.Join(dir, "root"), c.o.Limits)
	if err != nil {
		return err
	}
	defer t.close()
	for i, d := range im.layers {
		if err := t.apply(ctx, from, d, im.config.RootFS.DiffIDs[i]); err != nil {
			return fmt.Errorf("layer %s: %w", d.Digest, err)
		}
	}
	if err := t.finish(); err != nil {
		return err
	}
	b, err := json.Marshal(about{Bytes: t.bytes, Entries: t.entries})
	if err != nil {
		return err
	}
	if err := durable.WriteNew(filepath.Join(dir, "about.json"), b, 0o600); err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// acquire takes a lock, or turns the one that is held into another.
func acquire(ctx context.Context, f *os.File, how int) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// removeTree removes a tree whatever modes its directories have.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = os.Chmod(name, 0o700) // before it is read
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.RemoveAll(dir))
}
