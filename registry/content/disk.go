package content

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
	"github.com/patchfit/patchfit/internal/fileid"
)

// Disk keeps blobs in a directory: blobs/sha256/xx/HEX, where xx are the first
// two digits of HEX. A blob comes to its name by one rename, so a name is
// missing or whole, as far as the disk is; uploads/ holds what has no name yet.
// docs/spec/registry.md, "Bytes".
type Disk struct {
	dir    string
	lanes  *lanes
	copies atomic.Bool // the file system takes no direct writes
	// The calls that write and that make things durable, so that tests can break them.
	write     func(*os.File, []byte) (int, error)
	setDirect func(*os.File, bool) error
	sync      func(*os.File) error
	syncDir   func(dir string) error
}

// OpenDisk opens the directory dir, and makes it where there is none. What
// earlier processes left of their uploads is removed. One process at a time may
// have a directory open.
func OpenDisk(dir string) (*Disk, error) {
	k := &Disk{dir: dir, lanes: newLanes(), write: (*os.File).Write, setDirect: setDirect, sync: fdatasync, syncDir: syncDir}
	if err := k.layout(); err != nil {
		return nil, fmt.Errorf("opening the blobs in %s: %w", dir, err)
	}
	return k, nil
}

// layout makes every directory there will ever be, durably, so that a commit
// has one directory to sync.
func (k *Disk) layout() error {
	if err := os.RemoveAll(k.uploads()); err != nil {
		return err
	}
	if err := os.MkdirAll(k.shards(), 0o700); err != nil {
		return err
	}
	for i := range 256 {
		err := os.Mkdir(filepath.Join(k.shards(), fmt.Sprintf("%02x", i)), 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := os.Mkdir(k.uploads(), 0o700); err != nil {
		return err
	}
	var errs []error
	for _, dir := range []string{k.shards(), filepath.Dir(k.shards()), k.dir, filepath.Dir(k.dir)} {
		errs = append(errs, syncDir(dir))
	}
	return errors.Join(errs...)
}

func (k *Disk) shards() string  { return filepath.Join(k.dir, "blobs", "sha256") }
func (k *Disk) uploads() string { return filepath.Join(k.dir, "uploads") }

// path returns where the object of d is. d is a digest in its one form.
func (k *Disk) path(d attest.Digest) string {
	h := d.Hex()
	return k.dir + "/blobs/sha256/" + h[:2] + "/" + h
}

func wellFormed(d attest.Digest) error {
	_, err := attest.ParseDigest(string(d))
	return err
}

// Open implements [Backend].
func (k *Disk) Open(_ context.Context, d attest.Digest) (io.ReadSeekCloser, Version, error) {
	if err := wellFormed(d); err != nil {
		return nil, Version{}, err
	}
	f, err := openPlain(k.path(d))
	if err != nil {
		return nil, Version{}, missing(err)
	}
	id, err := fileid.Of(f)
	if err != nil {
		return nil, Version{}, errors.Join(err, f.Close())
	}
	return f, Version{Size: id.Size, File: id}, nil
}

// openPlain opens a file to read it. It is always ready: os.Open takes five calls
// more to find out that nobody can wait for it.
func openPlain(path string) (*os.File, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		default:
			return os.NewFile(uintptr(fd), path), nil
		}
	}
}

// Version implements [Backend].
func (k *Disk) Version(_ context.Context, d attest.Digest) (Version, error) {
	if err := wellFormed(d); err != nil {
		return Version{}, err
	}
	id, err := fileid.Stat(k.path(d))
	if err != nil {
		return Version{}, missing(err)
	}
	return Version{Size: id.Size, File: id}, nil
}

// Remove implements [Backend]. A name that comes back after a power cut is of
// bytes in no repository: they are removed again.
func (k *Disk) Remove(_ context.Context, d attest.Digest) error {
	if err := wellFormed(d); err != nil {
		return err
	}
	if err := os.Remove(k.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List implements [Backend]. Files whose names are no digests are nobody's and
// are left alone.
func (k *Disk) List(ctx context.Context) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		for i := range 256 {
			entries, err := os.ReadDir(filepath.Join(k.shards(), fmt.Sprintf("%02x", i)))
			if err = errors.Join(err, ctx.Err()); err != nil {
				yield(Listed{}, err)
				return
			}
			for _, e := range entries {
				if l, ok := listed(e); ok && !yield(l, nil) {
					return
				}
			}
		}
	}
}

func listed(e fs.DirEntry) (Listed, bool) {
	d, err := attest.ParseDigest("sha256:" + e.Name())
	if err != nil {
		return Listed{}, false
	}
	info, err := e.Info()
	if err != nil { // removed since it was listed
		return Listed{}, false
	}
	return Listed{d, info.Size(), info.ModTime()}, true
}

// Free implements [Backend].
func (k *Disk) Free() (free, all int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(k.dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// Begin implements [Backend].
func (k *Disk) Begin(context.Context) (Draft, error) {
	return &file{disk: k, name: filepath.Join(k.uploads(), rand.Text())}, nil
}

// missing names the lack of a file in the words of the contract.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}

// full names the lack of room in the words of the contract.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func fdatasync(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed = unix.EINTR; failed == unix.EINTR; {
			failed = unix.Fdatasync(int(fd))
		}
	})
	return errors.Join(err, failed)
}

func syncDir(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return fmt.Errorf("syncing a directory: %w", err)
	}
	return nil
}
