package build

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/patchfit/patchfit/build/archive"
)

// gather returns what an image has to hold so that every one of paths, as
// asked for, leads to the same file in it: the links passed, the directories
// and the files.
func gather(paths []string) (map[string]entry, error) {
	all := map[string]entry{}
	for _, p := range paths {
		_, e, err := walk(machine, p, func(name string, e entry) { all[name] = e })
		if err != nil {
			return nil, fmt.Errorf("the build used a file that is gone: %w", err)
		}
		if !e.mode.IsRegular() && !e.mode.IsDir() {
			return nil, fmt.Errorf("the build opened %s, which is neither file nor directory and cannot be in a builder image", p)
		}
	}
	return all, nil
}

// Pack makes an OCI image layout in dir that holds paths of this machine and
// the links that lead to them: one layer, sorted, without times and owners, so
// that packing the same files twice gives the same bytes. dir must not hold
// anything yet; there is a whole layout in the end, or none.
func Pack(dir, architecture string, paths []string) (*Layout, error) {
	all, err := gather(paths)
	if err != nil {
		return nil, err
	}
	l, err := WriteLayout(dir, Image{Architecture: architecture}, func(w io.Writer) error { return writeTar(w, "/", all) }, nil)
	if err != nil {
		return nil, fmt.Errorf("packing the builder image: %w", err)
	}
	return l, nil
}

// writeTar writes entries, files with their content below root, as an archive.
func writeTar(w io.Writer, root string, entries map[string]entry) error {
	t := archive.New(w)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := writeEntry(t, root, name, entries[name]); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeEntry(t *archive.Writer, root, name string, e entry) error {
	switch {
	case e.mode.IsDir():
		return t.Dir(name)
	case e.mode&fs.ModeSymlink != 0:
		return t.Link(name, e.link)
	}
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return t.File(name, e.mode.Perm()&0o111 != 0, info.Size(), f)
}
