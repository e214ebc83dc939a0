// Package durable writes small files whole: a crash leaves the old file or the
// new one, and what is there when a call returned is there after a power cut.
// The ledger, which has each of these steps broken in its tests, writes by an
// interface of its own.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
	if err := finish(f); err != nil {
		return err
	}
	// Link, unlike rename, does not replace what is there.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Commit closes f and puts it at path, in the same directory. The rename is
// the point of no return. After an error the caller removes f.
func Commit(f *os.File, path string) error {
	if err := finish(f); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
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

// temporary returns an open file of b beside path.
func temporary(path string, b []byte, mode fs.FileMode) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return nil, err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(mode)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

func finish(f *os.File) error { return errors.Join(f.Sync(), f.Close()) }
