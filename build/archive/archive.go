// Package archive writes a file tree as a tar in one way: no times, no owners,
// two modes. The same files in the same order make the same bytes, whoever packs
// them. Builder images and source trees are written with it
// (docs/spec/source.md).
package archive

import (
	"archive/tar"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Writer writes one archive. Whoever uses it sees to the order: each directory
// before what is in it.
type Writer struct{ t *tar.Writer }

// New returns a Writer to w. Close it, or the archive has no end.
func New(w io.Writer) *Writer { return &Writer{tar.NewWriter(w)} }

func header(name string) *tar.Header {
	return &tar.Header{Name: strings.TrimPrefix(name, "/"), ModTime: time.Unix(0, 0)}
}

// Dir adds a directory.
func (w *Writer) Dir(name string) error {
	h := header(name)
	h.Typeflag, h.Mode = tar.TypeDir, 0o755
	h.Name = strings.TrimSuffix(h.Name, "/") + "/"
	return w.t.WriteHeader(h)
}

// Link adds a symbolic link.
func (w *Writer) Link(name, target string) error {
	h := header(name)
	h.Typeflag, h.Mode, h.Linkname = tar.TypeSymlink, 0o777, target
	return w.t.WriteHeader(h)
}

// File adds a regular file of size bytes.
func (w *Writer) File(name string, executable bool, size int64, content io.Reader) error {
	h := header(name)
	h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o644, size
	if executable {
		h.Mode = 0o755
	}
	if err := w.t.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(w.t, content)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes, want %d: it changed while it was read", n, size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Close ends the archive. It does not close what is below.
func (w *Writer) Close() error { return w.t.Close() }
