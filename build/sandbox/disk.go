package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	d := &diskMeter{dir: h.workDir, before: before, processes: h.processes}
	if d.first, err = diskState(d.dir); err != nil {
		return err
	}
	d.last = d.first
	h.meters.Go(func() {
		h.every(diskInterval, func() { h.judgeDisk(d, false) })
		h.judgeDisk(d, true)
	})
	return nil
}

type diskMeter struct {
	dir         string
	processes   *processes
	before      int64 // size of the tree as it came
	grown       int64 // at the last walk
	first, last disk  // as it was, and at the last walk
}

func (h *Hold) judgeDisk(d *diskMeter, end bool) {
	now, err := diskState(d.dir)
	if err == nil && !end && now.used-d.last.used < max((h.limits.Disk-d.grown)/2, leastFile) {
		return
	}
	if err == nil {
		err = d.walk(now, end)
	}
	if err != nil {
		h.cancel(fmt.Errorf("measuring what the job wrote: %w", err))
		return
	}
	h.disk.Store(d.grown)
	// A job that hides what it writes so well that no walk finds it does not get
	// to fill the disk.
	if grown := now.used - d.first.used; d.grown > h.limits.Disk || grown > h.limits.Disk && now.nearlyFull {
		h.cancel(&LimitError{LimitDisk, size(h.limits.Disk)})
	}
}

// walk measures how much the tree has grown. A directory that the job has
// closed may hold all that the disk has more of.
func (d *diskMeter) walk(now disk, end bool) error {
	tree, hidden, err := treeSize(d.dir)
	if err != nil {
		return err
	}
	d.grown, d.last = tree-d.before, now
	if hidden {
		d.grown = max(d.grown, now.used-d.first.used)
	}
	if end {
		return nil // nobody is left to hold anything
	}
	held, err := d.processes.held(now.id)
	d.grown += held
	return err
}

// A disk is what a file system says of itself.
type disk struct {
	id         uint64
	used       int64 // bytes, with what its entries use
	nearlyFull bool
}

func diskState(dir string) (disk, error) {
	var s unix.Statfs_t
	var info unix.Stat_t
	if err := errors.Join(unix.Statfs(dir, &s), unix.Stat(dir, &info)); err != nil {
		return disk{}, err
	}
	return disk{
		id:         uint64(info.Dev),
		used:       int64(s.Blocks-s.Bfree)*s.Bsize + int64(s.Files-s.Ffree)*leastFile,
		nearlyFull: s.Bavail < s.Blocks/20,
	}, nil
}

// treeSize returns the size of a tree that changes: of each file the larger of
// what it holds and what it takes, once, however many names it has. It never
// leaves the tree, whatever the job puts in its way. hidden says that there are
// directories that could not be read, closed or changed meanwhile.
func treeSize(dir string) (total int64, hidden bool, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, false, err
	}
	defer root.Close()
	type id struct{ dev, ino uint64 }
	seen := map[id]bool{}
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		switch {
		case err != nil && name == ".":
			return err
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went
		case err != nil:
			hidden = true
			return nil
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
