// Package disk holds the few file operations the ledger's writing stands on,
// behind one interface, so that tests can break each of them twice: once so
// that it did not happen, once so that it happened and failed all the same.
//
// What it promises, and what the code above it relies on:
//   - bytes are durable after a successful Sync of their file, and of every
//     directory on the way to a name that is new;
//   - a failed Sync says nothing about later ones: the kernel forgets which
//     pages it could not write, so only writing the bytes again makes a later
//     Sync mean something.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/patchfit/patchfit/internal/durable"
)

// An FS is a file system as the ledger uses one. Names are paths of the
// operating system.
type FS interface {
	// Mkdir makes the directory dir in an existing one; one that is there
	// already is fine. Its name is durable after SyncDir of its parent.
	Mkdir(dir string) error
	// Create makes name an empty file open for writing; one that exists is
	// emptied. Its name is durable after SyncDir of its directory.
	Create(name string) (File, error)
	// Open opens an existing file for writing.
	Open(name string) (File, error)
	// ReadFile returns a file's bytes; a missing one is fs.ErrNotExist.
	ReadFile(name string) ([]byte, error)
	// ReadDir returns the names in dir, sorted.
	ReadDir(dir string) ([]string, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock that is the file name, without waiting.
	Lock(name string) (io.Closer, error)
}

// A File is open for writing.
type File interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// ErrLocked reports that another process holds a lock.
var ErrLocked = errors.New("in use by another process")

// OS is the operating system's file system. Files it makes have mode 0600,
// directories 0700.
type OS struct{}

// Mkdir implements [FS].
func (OS) Mkdir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if info, serr := os.Stat(dir); serr == nil && info.IsDir() {
			return nil
		}
	}
	return err
}

// Create implements [FS].
func (OS) Create(name string) (File, error) {
	return open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
}

// Open implements [FS].
func (OS) Open(name string) (File, error) { return open(name, os.O_WRONLY) }

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}

// ReadFile implements [FS].
func (OS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// ReadDir implements [FS].
func (OS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Rename implements [FS].
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements [FS].
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir implements [FS].
func (OS) SyncDir(dir string) error { return durable.SyncDir(dir) }

// Lock implements [FS]; the lock ends with the process, however it ends.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s: %w", name, ErrLocked)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// MkdirAll makes dir and every missing parent, durably. All directories above
// are synced each time: an earlier call may have made one and then failed.
func MkdirAll(fsys FS, dir string) error {
	if err := mkdirAll(fsys, dir); err != nil {
		return err
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		err := fsys.SyncDir(parent)
		if errors.Is(err, fs.ErrPermission) {
			return nil // nor could any of us have made something in it
		}
		if err != nil || parent == filepath.Dir(parent) {
			return err
		}
	}
}

func mkdirAll(fsys FS, dir string) error {
	err := fsys.Mkdir(dir)
	if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := mkdirAll(fsys, parent); err != nil {
			return err
		}
		err = fsys.Mkdir(dir)
	}
	return err
}

// WriteFile makes name a file of exactly data and durable: written under
// the name temp in the same directory, synced, renamed, directory synced.
// After an error the name may hold the old bytes or the new, never a part,
// and is not known to be durable; calling again writes everything again.
func WriteFile(fsys FS, temp, name string, data []byte) error {
	err := writeTemp(fsys, temp, data)
	if err == nil {
		err = fsys.Rename(temp, name)
	}
	if err != nil {
		_ = fsys.Remove(temp) // room on a full disk; it may not be there
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeTemp(fsys FS, temp string, data []byte) error {
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
