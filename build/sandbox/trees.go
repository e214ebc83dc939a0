package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendTrees hands the image and the source to a first process that could not
// open them: they are root's, and that process is not.
func (b *box) sendTrees(pid int) error {
	users, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
	if err != nil {
		return err
	}
	defer users.Close()
	root, _, err := mappedTree(b.rootDir, users, rootAttributes)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	work, mapped, err := mappedTree(b.workDir, users, workAttributes)
	if err != nil {
		return err
	}
	defer unix.Close(work)
	if !mapped {
		if err := changeOwner(b.workDir, 0, b.user); err != nil {
			return fmt.Errorf("giving the source to the job's user: %w", err)
		}
		b.given = true
	}
	return sendTrees(b.wire, root, work)
}

// takeBack makes what the job left root's, where the job's user had to own it.
func (b *box) takeBack() error {
	if !b.given {
		return nil
	}
	if err := changeOwner(b.workDir, b.user, 0); err != nil {
		return fmt.Errorf("taking back what the job left: %w", err)
	}
	return nil
}

// mappedTree returns a tree in which what belongs to root belongs to the job's
// user, and the other way round. Not all file systems can: there, of the image
// all is seen that others may read.
func mappedTree(dir string, users *os.File, set uint64) (tree int, mapped bool, err error) {
	if tree, err = clone(dir); err != nil {
		return 0, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := attributes(tree, set); err != nil {
		return 0, false, errors.Join(fmt.Errorf("%w: %w", ErrUnavailable, err), unix.Close(tree))
	}
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())})
	return tree, err == nil, nil
}

// changeOwner gives all of a tree that belongs to one user to another. Nobody
// else is at the tree meanwhile.
func changeOwner(dir string, from, to int) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != from {
			return nil
		}
		return os.Lchown(name, to, to)
	})
}
