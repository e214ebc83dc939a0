// Package durable writes small files whole: a crash leaves the old file or the
// new one, and what is there when a call returned is there after a power cut.
// What a crash leaves beside it, [Sweep] removes.
// The ledger, which has each of these steps broken in its tests, writes by an
// interface of its own.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Replace makes b the content of the file path, with this mode.
func Replace(path string, b []byte, mode fs.FileMode) error {
	f, err := temporary(path, b, mode)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already once it was renamed
	return Commit(f, path)
}

// WriteNew makes the file path, with this mode. A file that exists is left
// alone, and the error is fs.ErrExist.
func WriteNew(path string, b []byte, mode fs.FileMode) error {
	f, err := temporary(path, b, mode)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	// Link, unlike rename, does not replace what is there.
	return put(f, path, os.Link)
}

// Commit closes f and puts it at path, in the same directory. The rename is
// the point of no return. After an error the caller removes f.
func Commit(f *os.File, path string) error { return put(f, path, os.Rename) }

// put syncs f, gives it its name, and lets go of it: its lock is held until it
// has the name, so that [Sweep] never takes a file on its way.
func put(f *os.File, path string, name func(old, path string) error) error {
	err := f.Sync()
	if err == nil {
		err = name(f.Name(), path)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return finish(d)
}

// temporary returns an open file of b beside path, locked as somebody's. Where
// there are no locks, [Sweep] takes nothing either.
func temporary(path string, b []byte, mode fs.FileMode) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), pattern) // mode 0600
	if err != nil {
		return nil, err
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(mode)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

func finish(f *os.File) error { return errors.Join(f.Sync(), f.Close()) }
