package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// trees implements maker: root hands the image and the source to a first process
// that could not open them, as they are root's and that process is not.
func (w *embedded) trees(h *Hold, wire *net.UnixConn) error {
	if !w.root {
		return nil
	}
	users, err := os.Open("/proc/" + strconv.Itoa(w.first) + "/ns/user")
	if err != nil {
		return err
	}
	defer users.Close()
	root, _, err := mappedTree(h.rootDir, users, rootAttributes)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	work, mapped, err := mappedTree(h.workDir, users, workAttributes)
	if err != nil {
		return err
	}
	defer unix.Close(work)
	if !mapped {
		w.given = h.workDir
		if err := ChangeOwner(h.workDir, 0, w.user); err != nil {
			return fmt.Errorf("giving the source to the job's user: %w", err)
		}
	}
	return sendTrees(wire, root, work)
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

// ChangeOwner gives all of a tree that belongs to one user to another. Nobody
// else is at the tree meanwhile.
func ChangeOwner(dir string, from, to int) error {
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
