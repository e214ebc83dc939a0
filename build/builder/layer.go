package builder

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// writeLayer writes the tree as a tar: sorted by name, owned by 0:0 without
// names, no set-id bits, no extended attributes. Of names that lead to one file
// the first in that order is the file.
func (t tree) writeLayer(w io.Writer) error {
	out := tar.NewWriter(w)
	first := map[*node]string{}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		n := t[name]
		h := &tar.Header{Name: name[1:], ModTime: n.time, Mode: int64(n.mode.Perm()), Size: n.size}
		if n.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		switch {
		case n.mode.IsDir():
			h.Typeflag, h.Name, h.Size = tar.TypeDir, h.Name+"/", 0
		case n.mode&fs.ModeSymlink != 0:
			h.Typeflag, h.Linkname, h.Mode, h.Size = tar.TypeSymlink, n.link, 0o777, 0
		case first[n] != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first[n], 0
		default:
			h.Typeflag, first[n] = tar.TypeReg, h.Name
		}
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := n.copyTo(out); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return out.Close()
}

// copyTo writes the content of a regular file: as much as its size says.
func (n *node) copyTo(w io.Writer) error {
	r, err := n.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.CopyN(w, r, n.size); err != nil {
		return fmt.Errorf("it changed while it was read: %w", err)
	}
	return nil
}

// A layering is a tree that is being made of layers, the first at the bottom.
type layering struct {
	tree    tree
	own     tree // what the layer that is being read has made
	hidings int  // of whole directories, each of which looks at all there is
}

const maxHidings = 2000

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// readTar lays an uncompressed tar over the tree. The tree reads content from
// it later: f has to stay open.
func (t tree) readTar(ctx context.Context, f io.ReadSeeker, at io.ReaderAt) error {
	l := layering{tree: t, own: tree{}}
	in := tar.NewReader(f)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := l.entry(h, at, offset); err != nil {
			return fmt.Errorf("%.200s: %w", h.Name, err)
		}
	}
}

func (l *layering) entry(h *tar.Header, at io.ReaderAt, offset int64) error {
	name, err := inside(h.Name)
	if err != nil || name == "/" {
		return err
	}
	if gone, all := whitedOut(name); gone != "" {
		return l.hide(gone, all)
	}
	n := &node{mode: fs.FileMode(h.Mode).Perm(), time: h.ModTime}
	switch h.Typeflag {
	case tar.TypeReg:
		if sparse(h) {
			return fmt.Errorf("is a sparse file; write the tar without holes (tar without --sparse)")
		}
		n.size = h.Size
		n.open = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(at, offset, h.Size)), nil }
	case tar.TypeLink:
		target, err := inside(h.Linkname)
		if err != nil {
			return err
		}
		if n = l.tree[target]; n == nil || !n.mode.IsRegular() {
			return fmt.Errorf("hard link to %.200q, which is no file there", h.Linkname)
		}
	case tar.TypeSymlink:
		n.mode, n.link = fs.ModeSymlink|0o777, h.Linkname
	case tar.TypeDir:
		n.mode |= fs.ModeDir
		if h.Mode&0o1000 != 0 {
			n.mode |= fs.ModeSticky
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return nil
	default:
		return fmt.Errorf("is of type %q, which no builder image can hold", h.Typeflag)
	}
	if old := l.tree[name]; old != nil && old.mode.IsDir() && !n.mode.IsDir() { // it takes its place
		if err := l.counted(); err != nil {
			return err
		}
		l.tree.remove(name, false)
	}
	l.own[name] = n
	return l.tree.add(name, n)
}

// inside returns the absolute path a tar's name is for. One that would leave the
// root is refused.
func inside(name string) (string, error) {
	if strings.ContainsRune(name, 0) || slices.Contains(strings.Split(name, "/"), "..") {
		return "", fmt.Errorf("is a name that leaves the root")
	}
	clean := "/"
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			clean = strings.TrimSuffix(clean, "/") + "/" + part
		}
	}
	return clean, nil
}

// whitedOut returns what a marker takes away (OCI image spec, Whiteouts): a path
// or, with all, what lower layers have below one. "" is no marker.
func whitedOut(name string) (gone string, all bool) {
	i := strings.LastIndex(name, "/")
	dir, base := name[:i], name[i+1:]
	switch {
	case base == opaque:
		return dir + "/", true
	case strings.HasPrefix(base, whiteout):
		return dir + "/" + strings.TrimPrefix(base, whiteout), false
	}
	return "", false
}

// hide takes away what lower layers have; what this one made stays.
func (l *layering) hide(name string, all bool) error {
	dir := strings.TrimSuffix(name, "/")
	if n := l.tree[dir]; !all && (n == nil || !n.mode.IsDir()) {
		if l.own[dir] != n {
			delete(l.tree, dir)
		}
		return nil
	}
	if err := l.counted(); err != nil {
		return err
	}
	for other, n := range l.tree {
		if l.own[other] != n && (other == dir && !all || strings.HasPrefix(other, dir+"/")) {
			delete(l.tree, other)
		}
	}
	return nil
}

// counted takes note of a directory that goes.
func (l *layering) counted() error {
	if l.hidings++; l.hidings > maxHidings {
		return fmt.Errorf("is more than the %d directories that a layer may take away", maxHidings)
	}
	return nil
}

func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}
