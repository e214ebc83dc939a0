package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	diskInterval = 50 * time.Millisecond
	// An entry counts as this much, however small: names use a disk up too.
	leastFile = 4 << 10
)

// watchDisk measures by how much the job makes its tree grow. The disk's own
// counter, which is cheap, says when it is worth to walk the tree, which is
// exact: when what is left of the limit could be half gone.
func (h *Hold) watchDisk() error {
	before, _, err := treeSize(h.workDir)
	if err != nil {
		return err
	}
	d := &diskMeter{dir: h.workDir, before: before}
	if d.used, err = diskUsed(d.dir); err != nil {
		return err
	}
	d.usedBefore = d.used
	h.meters.Go(func() {
		h.every(diskInterval, func() { h.judgeDisk(d, false) })
		h.judgeDisk(d, true)
	})
	return nil
}

type diskMeter struct {
	dir    string
	before int64 // size of the tree as it came
	grown  int64 // at the last walk

	usedBefore, used int64 // of the whole disk: as it was, and at the last walk
}

func (h *Hold) judgeDisk(d *diskMeter, last bool) {
	used, err := diskUsed(d.dir)
	if err == nil && !last && used-d.used < max((h.limits.Disk-d.grown)/2, leastFile) {
		return
	}
	now, hidden := int64(0), false
	if err == nil {
		now, hidden, err = treeSize(d.dir)
	}
	if err != nil {
		h.cancel(fmt.Errorf("measuring what the job wrote: %w", err))
		return
	}
	d.grown, d.used = now-d.before, used
	if hidden { // what the job has closed may hold all that the disk has more of
		d.grown = max(d.grown, used-d.usedBefore)
	}
	h.disk.Store(d.grown)
	if d.grown > h.limits.Disk {
		h.cancel(&LimitError{LimitDisk, size(h.limits.Disk)})
	}
}

// diskUsed returns the bytes in use on the disk of dir, with what its entries use.
func diskUsed(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Blocks-s.Bfree)*s.Bsize + int64(s.Files-s.Ffree)*leastFile, nil
}

// treeSize returns the size of a tree that changes: of each file the larger of
// what it holds and what it takes, once, however many names it has. hidden says
// that it has directories which cannot be read.
func treeSize(dir string) (total int64, hidden bool, err error) {
	type id struct{ dev, ino uint64 }
	seen := map[id]bool{}
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != dir:
			return nil // it went
		case errors.Is(err, fs.ErrPermission):
			hidden = true
			return nil
		case err != nil:
			return err
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.ErrUnsupported
		}
		if s.Nlink > 1 && !e.IsDir() {
			if i := (id{uint64(s.Dev), s.Ino}); seen[i] {
				return nil
			} else {
				seen[i] = true
			}
		}
		total += max(s.Size, s.Blocks*512, leastFile)
		return nil
	})
	return total, hidden, err
}

// OpenOutput opens a file that a job left: a regular one, reached without
// leaving the tree by a link or by "..". What a job leaves is hostile.
func OpenOutput(work, name string) (*os.File, error) {
	root, err := os.OpenRoot(work)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would make us wait
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("output %s is no regular file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
