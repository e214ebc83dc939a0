package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// An entry is one object of a file tree: a machine's or an image's.
type entry struct {
	mode fs.FileMode // type bits, and permission bits of regular files
	link string      // target of a symbolic link
}

// A tree looks up one object by its clean absolute path, without following
// it. An object that is not there is fs.ErrNotExist.
type tree func(name string) (entry, error)

const maxLinks = 40 // as Linux allows on one walk

// walk follows p through t from the root, as the kernel does: links on the
// way, ".." of what they lead to. It calls see for every object it passes, the
// last one too, and returns the path of that without links.
func walk(t tree, p string, see func(name string, e entry)) (string, entry, error) {
	left, at, links := strings.Split(p, "/"), "/", 0
	e := entry{mode: fs.ModeDir | 0o755}
	for len(left) > 0 {
		word := left[0]
		left = left[1:]
		if word == "" || word == "." {
			continue
		}
		if !e.mode.IsDir() {
			return "", entry{}, fmt.Errorf("%s: %s is not a directory", p, at)
		}
		if word == ".." {
			at = path.Dir(at)
			continue
		}
		name := path.Join(at, word)
		next, err := t(name)
		if err != nil {
			return "", entry{}, fmt.Errorf("%s: %w", name, err)
		}
		see(name, next)
		if next.mode&fs.ModeSymlink == 0 {
			at, e = name, next
			continue
		}
		if links++; links > maxLinks {
			return "", entry{}, fmt.Errorf("%s: more than %d symbolic links", p, maxLinks)
		}
		if path.IsAbs(next.link) {
			at = "/"
		}
		e = entry{mode: fs.ModeDir | 0o755}
		left = append(strings.Split(next.link, "/"), left...)
	}
	return at, e, nil
}

// machine is the file tree of the machine this runs on.
func machine(name string) (entry, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return entry{}, plain(err)
	}
	e := entry{mode: info.Mode()}
	if e.mode&fs.ModeSymlink != 0 {
		e.link, err = os.Readlink(name)
	}
	return e, plain(err)
}

// plain takes the path off an error that will be given one.
func plain(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// resolve returns p on this machine without symbolic links.
func resolve(p string) (string, entry, error) {
	return walk(machine, p, func(string, entry) {})
}
