package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const imageDir = ".image" // where the image is while the root is put together

// makeWorld makes the file system, the name and the network inside.
func makeWorld(wire *net.UnixConn, o *order) error {
	root, work, err := trees(wire, o)
	if err != nil {
		return err
	}
	// The new root is made of the image's entries and ours, in memory, over a
	// directory that is seen by nobody but this process and its children.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("leaving the machine's mounts alone: %w", err)
	}
	if err := mountTmpfs(o.Place, "mode=0755,size=1m,nr_inodes=1024"); err != nil {
		return err
	}
	if err := os.Chdir(o.Place); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return image(root) },
		func() error { return place(work, "build", 0) },
		makeDev,
		makeProc,
		func() error { return mountTmpfs("tmp", fmt.Sprintf("mode=1777,size=%d,nr_inodes=1m", o.Memory)) },
		enter,
		func() error { return unix.Sethostname([]byte(Hostname)) },
		func() error { return unix.Setdomainname([]byte("(none)")) },
		loopback,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// trees returns the image and the source as trees of mounts of their own: they
// come from the caller where it is root, as this process may not see the way
// there.
func trees(wire *net.UnixConn, o *order) (root, work int, err error) {
	if o.Root == "" {
		t, err := receiveTrees(wire, 2)
		if err != nil {
			return 0, 0, err
		}
		return t[0], t[1], nil
	}
	if root, err = clone(o.Root); err != nil {
		return 0, 0, err
	}
	if work, err = clone(o.Work); err != nil {
		return 0, 0, err
	}
	return root, work, errors.Join(attributes(root, rootAttributes), attributes(work, workAttributes))
}

const (
	workAttributes = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	rootAttributes = workAttributes | unix.MOUNT_ATTR_RDONLY
)

// clone returns what is mounted at name, and below it, as a tree of its own.
func clone(name string) (tree int, err error) {
	tree, err = unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return 0, fmt.Errorf("taking %s inside: %w", name, err)
	}
	return tree, nil
}

// attributes sets attributes of all mounts of a tree.
func attributes(tree int, set uint64) error {
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: set}); err != nil {
		return fmt.Errorf("restricting a mount (it takes Linux 5.12): %w", err)
	}
	return nil
}

// attach puts a tree at name, which is there.
func attach(tree int, name string) error {
	err := unix.MoveMount(tree, "", unix.AT_FDCWD, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err := errors.Join(err, unix.Close(tree)); err != nil {
		return fmt.Errorf("mounting %s: %w", name, err)
	}
	return nil
}

// place makes a directory and puts a tree there.
func place(tree int, name string, set uint64) error {
	if err := os.Mkdir(name, 0o755); err != nil {
		return err
	}
	if set != 0 {
		if err := attributes(tree, set); err != nil {
			return err
		}
	}
	return attach(tree, name)
}

func mountTmpfs(name, options string) error {
	if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.Mount("tmpfs", name, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mounting a tmpfs at %s: %w", name, err)
	}
	return nil
}

// image puts the entries of the image's root into ours. So an image needs no
// place for what is mounted over it, and stays as it is.
func image(root int) error {
	if err := place(root, imageDir, 0); err != nil {
		return err
	}
	entries, err := Entries(imageDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := e.Place("."); err != nil {
			return err
		}
		if !e.Mounted() {
			continue
		}
		tree, err := clone(path.Join(imageDir, e.Name()))
		if err != nil {
			return err
		}
		if err := attach(tree, e.Name()); err != nil {
			return err
		}
	}
	if err := unix.Unmount(imageDir, unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Remove(imageDir)
}

// makeDev makes /dev: five devices of the machine's, and the usual links.
func makeDev() error {
	if err := mountTmpfs("dev", "mode=0755,size=64k,nr_inodes=64"); err != nil {
		return err
	}
	for _, name := range Devices() {
		to := path.Join("dev", name)
		if err := os.WriteFile(to, nil, 0o644); err != nil {
			return err
		}
		tree, err := clone("/dev/" + name)
		if err != nil {
			return err
		}
		if err := errors.Join(attributes(tree, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC), attach(tree, to)); err != nil {
			return err
		}
	}
	for name, target := range DeviceLinks() {
		if err := os.Symlink(target, path.Join("dev", name)); err != nil {
			return err
		}
	}
	return readOnly("dev")
}

func readOnly(name string) error {
	return unix.MountSetattr(unix.AT_FDCWD, name, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// makeProc mounts a /proc of the processes inside.
func makeProc() error {
	if err := os.Mkdir("proc", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc (in a container it has to be unmasked): %w", err)
	}
	masked, readOnly := ProcPaths()
	for _, name := range readOnly {
		if err := cover(path.Join("proc", name), path.Join("proc", name)); err != nil {
			return err
		}
	}
	for _, name := range masked {
		at := path.Join("proc", name)
		info, err := os.Stat(at)
		if err != nil {
			continue // this kernel has none
		}
		if info.IsDir() {
			err = unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "size=0,nr_inodes=1")
		} else {
			err = cover("dev/null", at)
		}
		if err != nil {
			return fmt.Errorf("masking /%s: %w", at, err)
		}
	}
	return nil
}

// cover puts from, read-only, at name. What the kernel does not have is fine.
func cover(from, name string) error {
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	tree, err := clone(from)
	if err != nil {
		return err
	}
	return errors.Join(attributes(tree, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC), attach(tree, name))
}

// enter makes the current directory the root, and forgets the machine's.
func enter() error {
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the machine's root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return readOnly("/")
}

// loopback switches the one network interface on; it leads nowhere.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the loopback interface: %w", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("the loopback interface: %w", err)
	}
	return nil
}

// placeOfRoot returns a directory of this machine that the new root may cover.
func placeOfRoot() (string, error) {
	places := []string{"/tmp", "/var/tmp", "/mnt", "/run"}
	for _, p := range places {
		if info, err := os.Lstat(p); err == nil && info.IsDir() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: none of %s is a directory", ErrUnavailable, strings.Join(places, ", "))
}
