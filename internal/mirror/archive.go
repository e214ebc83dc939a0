package mirror

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/durable"
)

// An archive is a layout in one tar file, read where it lies.
type archive struct {
	file *os.File
	at   map[string]span
}

type span struct{ offset, size int64 }

// openArchive lists a tar file. It may hold the files of a layout and the
// directories they are in, each once, and nothing else: no links, no devices,
// no other names.
func openArchive(path string) (files, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	a := &archive{file: f, at: map[string]span{}}
	if err := a.list(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

func (a *archive) list() error {
	r := tar.NewReader(a.file)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return problem(Corrupt, "the archive does not read: %v", err)
		}
		if h.Typeflag == tar.TypeDir && slices.Contains([]string{"blobs/", "blobs/sha256/"}, h.Name) {
			continue
		}
		if err := a.add(h); err != nil {
			return err
		}
	}
}

func (a *archive) add(h *tar.Header) error {
	switch _, twice := a.at[h.Name]; {
	case h.Typeflag != tar.TypeReg:
		return problem(Unsafe, "the archive holds %.200q, which is no regular file (type %q, to %.200q)", h.Name, h.Typeflag, h.Linkname)
	case !isLayoutName(h.Name):
		return problem(Unsafe, "the archive holds %.200q, which is no file of a layout", h.Name)
	case twice:
		return problem(Corrupt, "the archive holds %s twice", h.Name)
	}
	offset, err := a.file.Seek(0, io.SeekCurrent) // tar reads whole blocks and nothing ahead
	if err != nil {
		return err
	}
	a.at[h.Name] = span{offset, h.Size}
	return nil
}

func isLayoutName(name string) bool {
	if name == layoutFile || name == indexFile {
		return true
	}
	hex, ok := strings.CutPrefix(name, blobsDir+"/")
	_, err := attest.ParseDigest("sha256:" + hex)
	return ok && err == nil
}

func (a *archive) Close() error { return a.file.Close() }

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	s, ok := a.at[name]
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(a.file, s.offset, s.size)), s.size, nil
}

// pack writes the mirror in f, which holds these blobs, to a tar file that is
// whole and durable or not there: oci-layout, index.json, then blobs by digest,
// without times and owners.
func pack(f files, blobs []attest.Digest, path string) error {
	out, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // gone already once it was renamed
	w := tar.NewWriter(out)
	names := []string{layoutFile, indexFile}
	for _, d := range slices.Sorted(slices.Values(blobs)) {
		names = append(names, blobName(d))
	}
	for _, name := range names {
		if err := packFile(w, f, name); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	if err := errors.Join(w.Close(), out.Chmod(0o644)); err != nil {
		return errors.Join(err, out.Close())
	}
	return durable.Commit(out, path)
}

func packFile(w *tar.Writer, f files, name string) error {
	r, size, err := f.open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)})
	if err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	return nil
}

func (a *archive) held() (map[attest.Digest]int64, error) {
	all := map[attest.Digest]int64{}
	for name, s := range a.at {
		if hex, ok := strings.CutPrefix(name, blobsDir+"/"); ok {
			if d, err := attest.ParseDigest("sha256:" + hex); err == nil {
				all[d] = s.size
			}
		}
	}
	return all, nil
}
