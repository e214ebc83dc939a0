package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

const pattern = ".new-*" // of names files have until they are whole

var temporaryName = regexp.MustCompile(`^\.new-[0-9]+$`)

// leftAfter is for how long a file that nobody finished is somebody's still.
// It covers the moment before a writer holds its lock, and writers of versions
// that held none.
const leftAfter = time.Hour

// Sweep removes what writes into dir left that were killed before their end:
// files under the names this package writes by, an hour old, that no writer
// holds the lock of. A directory that is not there, and files of others, are no
// errors. Whoever keeps state in a directory calls it when opening it.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for files that were left: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !temporaryName.MatchString(e.Name()) {
			continue
		}
		if err := sweep(filepath.Join(dir, e.Name()), time.Now()); err != nil {
			return fmt.Errorf("removing a file that was left: %w", err)
		}
	}
	return nil
}

// sweep removes a file unless it is young, or somebody's. While it is looked at,
// its lock is held, so that nobody else takes it for their own.
func sweep(path string, now time.Time) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return others(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) < leftAfter {
		return err
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // a writer has it, or there are no locks here to tell by
	}
	return others(os.Remove(path))
}

// others forgives what is not there any more, and what is not ours to touch.
func others(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
