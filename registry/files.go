package registry

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/attest"
)

// blobsPath is where distribution keeps blobs and manifests below its root:
// blobsPath/xx/HEX/data, where xx are the first two digits of HEX.
const blobsPath = "docker/registry/v2/blobs/sha256"

var (
	errNoFile  = errors.New("no such file")
	errDamaged = errors.New("the stored bytes are not the ones with this digest")
)

// files reads blobs from the disk, and trusts none before it hashed it.
type files struct {
	dir string
	mu  sync.Mutex
	// whole are the files that had their digest when they were last hashed.
	whole map[attest.Digest]identity
}

// An identity changes when a file is written to, replaced or renamed.
type identity struct {
	device, inode    uint64
	size             int64
	written, changed time.Time
}

const (
	maxWhole = 1 << 16
	// settled is how old a change has to be before a file is remembered: a
	// second change in the same tick of the file system's clock would not show.
	settled = time.Second
)

func (f *files) path(d attest.Digest) string {
	h := d.Hex()
	return filepath.Join(f.dir, h[:2], h, "data")
}

// open returns the file of a digest, hashed now or found as it was when it was
// hashed last: errNoFile, errDamaged.
func (f *files) open(d attest.Digest) (*os.File, error) {
	file, id, err := f.find(d)
	if err != nil {
		return nil, err
	}
	if f.trusted(d, id) {
		return file, nil
	}
	if err := f.check(d, file, id); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (f *files) find(d attest.Digest) (*os.File, identity, error) {
	if _, err := attest.ParseDigest(string(d)); err != nil {
		return nil, identity{}, err
	}
	file, err := os.Open(f.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, identity{}, fmt.Errorf("%s: %w", d, errNoFile)
	}
	if err != nil {
		return nil, identity{}, err
	}
	id, err := identify(file)
	if err != nil {
		return nil, identity{}, errors.Join(err, file.Close())
	}
	return file, id, nil
}

// check hashes a file from its start and leaves it there.
func (f *files) check(d attest.Digest, file *os.File, before identity) error {
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return fmt.Errorf("hashing %s: %w", d, err)
	}
	if attest.DigestFromSum(h.Sum(nil)) != d {
		return fmt.Errorf("%s: %w", d, errDamaged)
	}
	now, err := identify(file)
	if err != nil {
		return err
	}
	if now == before && time.Since(now.changed) > settled {
		f.remember(d, now)
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}

// read returns the bytes of a digest, at most limit of them, hashed now.
func (f *files) read(d attest.Digest, limit int64) ([]byte, error) {
	file, id, err := f.find(d)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if id.size > limit {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", d, id.size, limit)
	}
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	if attest.DigestOf(b) != d {
		return nil, fmt.Errorf("%s: %w", d, errDamaged)
	}
	return b, nil
}

func (f *files) trusted(d attest.Digest, id identity) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.whole[d] == id
}

func (f *files) remember(d attest.Digest, id identity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.whole) >= maxWhole {
		clear(f.whole) // they are hashed again
	}
	f.whole[d] = id
}

func identify(file *os.File) (identity, error) {
	var s unix.Stat_t
	raw, err := file.SyscallConn()
	if err != nil {
		return identity{}, err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Fstat(int(fd), &s) }); err != nil || failed != nil {
		return identity{}, errors.Join(err, failed)
	}
	return identity{
		device: uint64(s.Dev), inode: s.Ino, size: s.Size,
		written: time.Unix(s.Mtim.Unix()), changed: time.Unix(s.Ctim.Unix()),
	}, nil
}

// clear makes room for the bytes of a digest where damaged ones are in their
// place, and reports whether it had to.
func (f *files) clear(d attest.Digest) (cleared bool, err error) {
	file, err := f.open(d)
	switch {
	case errors.Is(err, errDamaged):
		return true, os.Remove(f.path(d))
	case errors.Is(err, errNoFile):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, file.Close()
}

// persist syncs the directories on the way to a file, which may have been put
// there by another request that has not done so yet.
func (f *files) persist(d attest.Digest) error {
	dir := filepath.Dir(f.path(d))
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)), syncDir(f.dir))
}
