package builder

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// A tree is a root file system: nodes by their clean absolute path. "/" itself
// is not in it. Names that lead to the same node are hard links.
type tree map[string]*node

// A node is a directory, a symbolic link or a regular file: what a builder image
// holds. Who owned it is not kept, and neither are devices and pipes: a build
// runs as one user, and gets its devices from the sandbox.
type node struct {
	mode fs.FileMode // type and permission bits, and the sticky bit
	time time.Time
	link string // target of a symbolic link
	size int64
	open func() (io.ReadCloser, error) // content of a regular file
}

// Limits of a root file system that is read. A Debian with everything to build a
// kernel has 60,000 files of 2 GiB.
const (
	maxNodes = 2_000_000
	maxName  = 4096
)

// add puts a node into the tree. What is below something that is no directory
// cannot be told from what was meant to be elsewhere: it is refused.
func (t tree) add(name string, n *node) error {
	if len(name) > maxName {
		return fmt.Errorf("a name of %d bytes exceeds the limit of %d", len(name), maxName)
	}
	if err := t.parents(name); err != nil {
		return err
	}
	if t[name] = n; len(t) > maxNodes {
		return fmt.Errorf("more than %d files", maxNodes)
	}
	return nil
}

// parents adds the directories above name that nobody made.
func (t tree) parents(name string) error {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		switch n := t[dir]; {
		case n == nil:
			t[dir] = &node{mode: fs.ModeDir | 0o755}
		case n.mode.IsDir():
			return nil
		default:
			return fmt.Errorf("%s is below %s, which is no directory", name, dir)
		}
	}
	return nil
}

// remove takes away what is below dir, and dir itself.
func (t tree) remove(dir string, self bool) {
	for name := range t {
		if name == dir && self || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
			delete(t, name)
		}
	}
}

// read returns the content of a regular file that is not larger than limit; nil
// where there is none. Symbolic links are not followed.
func (t tree) read(name string, limit int64) ([]byte, error) {
	n := t[name]
	if n == nil || !n.mode.IsRegular() {
		return nil, nil
	}
	if n.size > limit {
		return nil, fmt.Errorf("%s of %d bytes exceeds the limit of %d", name, n.size, limit)
	}
	r, err := n.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
