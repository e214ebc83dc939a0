package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// A tree is a root under construction. Every access goes through an os.Root, so
// that even a mistake in what is checked here does not lead outside.
type tree struct {
	root    *os.Root
	limits  Limits
	left    int64 // bytes that the layers may still be
	bytes   int64 // of files
	entries int

	// dirs are the directories that are known to be no links. What they are to be
	// like in the end would keep them from being filled.
	dirs map[string]dirEnd
	// layer are the names that the layer at hand has put here, and above which.
	// A name counts as a directory of its own only if the layer lists it.
	layer map[string]listed
}

type dirEnd struct {
	mode fs.FileMode
	time time.Time
}

type listed int

const (
	above   listed = iota + 1 // of something the layer has
	aDir                      // listed
	another                   // listed, and no directory
)

func newTree(dir string, l Limits) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, limits: l, left: l.Bytes, dirs: map[string]dirEnd{".": implied}}, nil
}

// implied is a directory that no layer lists.
var implied = dirEnd{0o755, time.Unix(0, 0)}

func (t *tree) close() { t.root.Close() }

func (t *tree) begin() { t.layer = map[string]listed{} }

// prepare makes way for an entry: the directories above it, and nothing where it
// will be but, for a directory, a directory.
func (t *tree) prepare(h *tar.Header, name string, as listed) error {
	if name == "." {
		return &EntryError{h.Name, "it replaces the root"}
	}
	if had := t.layer[name]; had == another || had != 0 && as == another {
		return &EntryError{h.Name, "the layer has it twice"}
	}
	if err := t.parents(h, name); err != nil {
		return err
	}
	t.layer[name] = as
	info, err := t.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case as == aDir && info.IsDir():
		return nil
	}
	return t.remove(name)
}

// parents makes the directories above name. None may be a link, or one name
// could be another.
func (t *tree) parents(h *tar.Header, name string) error {
	var missing []string
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if had := t.layer[dir]; had == 0 {
			t.layer[dir] = above
		} else if had == another {
			return &EntryError{h.Name, "what it is in is no directory"}
		}
		if _, ok := t.dirs[dir]; ok {
			break
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		info, err := t.root.Lstat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := t.root.Mkdir(dir, 0o700); err != nil {
				return err
			}
		case err != nil:
			return err
		case !info.IsDir():
			return &EntryError{h.Name, "what it is in is no directory"}
		}
		t.dirs[dir] = implied
	}
	return nil
}

// remove takes away what is at name, and forgets the directories there. All
// directories are known, so what is none is not looked for among them: an image
// may replace as many files as it has.
func (t *tree) remove(name string) error {
	if _, ok := t.dirs[name]; ok {
		for dir := range t.dirs {
			if dir == name || strings.HasPrefix(dir, name+"/") {
				delete(t.dirs, dir)
			}
		}
	}
	return t.root.RemoveAll(name)
}

func (t *tree) directory(h *tar.Header, name string) error {
	if name != "." {
		if err := t.prepare(h, name, aDir); err != nil {
			return err
		}
		if err := t.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	// The caller can always look into it.
	t.dirs[name] = dirEnd{fs.FileMode(h.Mode)&0o777 | 0o500, timeOf(h)}
	return nil
}

func (t *tree) file(h *tar.Header, name string, content io.Reader) error {
	if h.Size > t.left {
		return errTooMuch
	}
	if err := t.prepare(h, name, another); err != nil {
		return err
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	t.bytes += n
	if err := errors.Join(err, f.Chmod(fs.FileMode(h.Mode)&0o777|0o400), f.Close()); err != nil {
		return err
	}
	when := timeOf(h)
	return t.root.Chtimes(name, when, when)
}

// timeOf returns an entry's time, if disks can tell it.
func timeOf(h *tar.Header) time.Time {
	if s := h.ModTime.Unix(); s < 0 || s >= 1<<33 {
		return implied.time
	}
	return h.ModTime
}

func (t *tree) symlink(h *tar.Header, name string) error {
	switch {
	case h.Linkname == "" || len(h.Linkname) > maxName:
		return &EntryError{h.Name, "its target is no path"}
	case climbs(path.Dir(name), h.Linkname):
		return &EntryError{h.Name, fmt.Sprintf("it leads out, to %.200q", h.Linkname)}
	}
	if err := t.prepare(h, name, another); err != nil {
		return err
	}
	return t.root.Symlink(h.Linkname, name)
}

func (t *tree) hardlink(h *tar.Header, name string) error {
	target, err := clean(h.Linkname)
	if err != nil {
		return &EntryError{h.Name, fmt.Sprintf("it leads out, to %.200q", h.Linkname)}
	}
	if target == name {
		return &EntryError{h.Name, "it is a link to itself"}
	}
	for dir := path.Dir(target); dir != "."; dir = path.Dir(dir) {
		if info, err := t.root.Lstat(dir); err != nil || !info.IsDir() {
			return &EntryError{h.Name, fmt.Sprintf("its target %.200q is not there", h.Linkname)}
		}
	}
	info, err := t.root.Lstat(target)
	if err != nil || !info.Mode().IsRegular() {
		return &EntryError{h.Name, fmt.Sprintf("its target %.200q is no file that is there", h.Linkname)}
	}
	if err := t.prepare(h, name, another); err != nil {
		return err
	}
	if err := t.root.Link(target, name); errors.Is(err, fs.ErrNotExist) {
		return &EntryError{h.Name, "its target is below itself"}
	} else if err != nil {
		return err
	}
	return nil
}

// hide takes away what lower layers have at name. What this layer has stays,
// whichever of the two comes first.
func (t *tree) hide(name string) error {
	if !t.real(path.Dir(name)) {
		return nil // nothing is there
	}
	if t.layer[name] == 0 {
		return t.remove(name)
	}
	if info, err := t.root.Lstat(name); err != nil || !info.IsDir() {
		return nil
	}
	return t.hideBelow(name)
}

// hideBelow does the same with all that is in a directory.
func (t *tree) hideBelow(dir string) error {
	if !t.real(dir) {
		return nil
	}
	d, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, n := range names {
		if err := t.hide(path.Join(dir, n)); err != nil {
			return err
		}
	}
	return nil
}

// real reports whether dir, and all above it, are directories and no links.
func (t *tree) real(dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := t.dirs[dir]; ok {
			return true // and so are those above
		}
		if info, err := t.root.Lstat(dir); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// finish gives the directories their modes and times, which no file can be put
// into any more: the deepest first.
func (t *tree) finish() error {
	var names []string
	for name := range t.dirs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	for _, name := range names {
		end := t.dirs[name]
		if err := t.root.Chtimes(name, end.time, end.time); err != nil {
			return err
		}
		if err := t.root.Chmod(name, end.mode); err != nil {
			return err
		}
	}
	return nil
}
