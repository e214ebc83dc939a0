// Package store keeps the ledger's own copies of bytes under their sha256:
// every signed statement, manifest and sealed journal segment that was ever
// acknowledged. It has no delete. docs/spec/journal.md, "The ledger store".
//
// A blob lives in DIR/sha256/xx/HEX, where xx are the first two digits of HEX.
// It gets there by one rename, so a name is either missing or whole; it is read
// by hashing it again, so a byte changed on the disk is an error, never an
// answer.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/fileid"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// MaxBlob is the largest blob, in bytes, that Put takes.
const MaxBlob = 64 << 20

// What Get and Put report with errors.Is.
var (
	ErrNotFound = errors.New("not in the ledger store")
	ErrCorrupt  = errors.New("bytes in the ledger store do not have their digest")
	ErrTooLarge = errors.New("too large for the ledger store")
)

// A Store is a directory of blobs. Its methods may be called at the same time.
type Store struct {
	fs   disk.FS
	dir  string
	temp atomic.Int64 // numbers temporary files
}

// Open opens the store in dir and makes it where there is none. What an
// interrupted Put left behind is removed.
func Open(dir string) (*Store, error) { return open(disk.OS{}, dir) }

func open(fsys disk.FS, dir string) (*Store, error) {
	s := &Store{fs: fsys, dir: dir}
	if err := s.layout(); err != nil {
		return nil, fmt.Errorf("opening the ledger store: %w", err)
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("opening the ledger store: %w", err)
	}
	return s, nil
}

// layout makes every directory there will ever be, so that a Put has one
// directory to sync.
func (s *Store) layout() error {
	shards := filepath.Join(s.dir, "sha256")
	if err := disk.MkdirAll(s.fs, s.dir); err != nil {
		return err
	}
	for _, d := range []string{s.tempDir(), shards} {
		if err := s.fs.Mkdir(d); err != nil {
			return err
		}
	}
	for i := range 256 {
		if err := s.fs.Mkdir(filepath.Join(shards, fmt.Sprintf("%02x", i))); err != nil {
			return err
		}
	}
	return errors.Join(s.fs.SyncDir(shards), s.fs.SyncDir(s.dir))
}

func (s *Store) sweep() error {
	names, err := s.fs.ReadDir(s.tempDir())
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.fs.Remove(filepath.Join(s.tempDir(), name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) tempDir() string { return filepath.Join(s.dir, "tmp") }

func (s *Store) path(d attest.Digest) string {
	h := d.Hex()
	return filepath.Join(s.dir, "sha256", h[:2], h)
}

// Put stores b and returns its digest. When it returns nil the bytes survive a
// power cut. Bytes that are there already are written again, and so made
// durable and whole whatever happened to them before. Put keeps no reference to
// b. After an error the bytes may be there or not; putting them again is right.
func (s *Store) Put(b []byte) (attest.Digest, error) {
	if len(b) > MaxBlob {
		return "", fmt.Errorf("blob of %d bytes: %w", len(b), ErrTooLarge)
	}
	d := attest.DigestOf(b)
	temp := filepath.Join(s.tempDir(), strconv.FormatInt(s.temp.Add(1), 10))
	if err := disk.WriteFile(s.fs, temp, s.path(d), b); err != nil {
		return "", fmt.Errorf("storing %s: %w", d, err)
	}
	return d, nil
}

// Get returns the bytes of d, hashed again: ErrNotFound where there are none,
// ErrCorrupt where they have changed.
func (s *Store) Get(d attest.Digest) ([]byte, error) {
	if _, err := attest.ParseDigest(string(d)); err != nil {
		return nil, err
	}
	b, err := s.fs.ReadFile(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", d, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	if attest.DigestOf(b) != d {
		return nil, fmt.Errorf("%s: %w", d, ErrCorrupt)
	}
	return b, nil
}

// Identity returns the identity of the file of d: ErrNotFound. While it stays
// the same, so do the bytes that Get returned.
func (s *Store) Identity(d attest.Digest) (fileid.Identity, error) {
	if _, err := attest.ParseDigest(string(d)); err != nil {
		return fileid.Identity{}, err
	}
	id, err := fileid.Stat(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return id, fmt.Errorf("%s: %w", d, ErrNotFound)
	}
	return id, err
}

// Has reports whether Get would return bytes.
func (s *Store) Has(d attest.Digest) bool {
	_, err := s.Get(d)
	return err == nil
}
