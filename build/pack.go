package build

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
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

// writeTar writes entries, files with their content below root, as a tar.
func writeTar(w io.Writer, root string, entries map[string]entry) error {
	t := tar.NewWriter(w)
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := writeEntry(t, root, name, entries[name]); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeEntry(t *tar.Writer, root, name string, e entry) error {
	h := &tar.Header{Name: strings.TrimPrefix(name, "/"), ModTime: time.Unix(0, 0)}
	switch {
	case e.mode.IsDir():
		h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, h.Name+"/"
		return t.WriteHeader(h)
	case e.mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Mode, h.Linkname = tar.TypeSymlink, 0o777, e.link
		return t.WriteHeader(h)
	}
	h.Typeflag, h.Mode = tar.TypeReg, 0o644
	if e.mode.Perm()&0o111 != 0 {
		h.Mode = 0o755
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
	h.Size = info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.Copy(t, f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
