package build

import (
	"os"
	"path/filepath"
	"strings"
)

// A world is the file tree that a build ran in.
type world struct {
	tree tree
	// file says where on this machine the bytes of a path without links are.
	file func(real string) string
}

// here is the world of builds that are watched: this machine as it is.
var here = world{machine, func(real string) string { return real }}

// real returns p without symbolic links.
func (w world) real(p string) (string, error) {
	real, _, err := walk(w.tree, p, func(string, entry) {})
	return real, err
}

// inside is the world of a contained build: the builder image unpacked at root,
// and over one directory of it, the build's.
func inside(root, over, work string) world {
	file := func(real string) string {
		if rest, ok := strings.CutPrefix(real+"/", over+"/"); ok {
			return filepath.Join(work, rest)
		}
		return filepath.Join(root, real)
	}
	return world{func(name string) (entry, error) {
		if name == over {
			return entry{mode: os.ModeDir | 0o755}, nil
		}
		return machine(file(name))
	}, file}
}
