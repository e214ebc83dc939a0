package build

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
)

// An image is the file tree of a builder image, its files by digest.
type image map[string]imageEntry

type imageEntry struct {
	entry
	content attest.Digest // of a regular file
}

func (m image) lookup(name string) (entry, error) {
	e, ok := m[name]
	if !ok {
		return entry{}, fs.ErrNotExist
	}
	return e.entry, nil
}

// read returns the tree that the layers make, the first at the bottom.
func (l *Layout) read() (image, error) {
	m := image{}
	for _, d := range l.Layers {
		if err := l.apply(m, d); err != nil {
			return nil, fmt.Errorf("builder image %s: layer %s: %w", l.Dir, d.Digest, err)
		}
	}
	return m, nil
}

func (l *Layout) apply(m image, d ocispec.Descriptor) error {
	blob, err := l.Blob(d)
	if err != nil {
		return err
	}
	defer blob.Close()
	stream, err := unpack(blob, d.MediaType)
	if err != nil {
		return err
	}
	layer := tar.NewReader(stream)
	for {
		h, err := layer.Next()
		if err == io.EOF {
			_, err := io.Copy(io.Discard, blob) // to its end, where it is verified
			return err
		}
		if err != nil {
			return err
		}
		if err := m.add(h, layer); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func unpack(blob io.Reader, mediaType string) (io.Reader, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayer:
		return blob, nil
	case ocispec.MediaTypeImageLayerGzip:
		return gzip.NewReader(blob)
	}
	return nil, fmt.Errorf("media type %s is not known: want a tar or a gzipped tar", mediaType)
}

// Whiteouts remove what lower layers hold (OCI image spec, Whiteouts).
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

func (m image) add(h *tar.Header, content io.Reader) error {
	name := path.Join("/", h.Name)
	dir, base := path.Split(name)
	switch {
	case base == opaque:
		m.remove(path.Clean(dir), false)
		return nil
	case strings.HasPrefix(base, whiteout):
		m.remove(path.Join(dir, strings.TrimPrefix(base, whiteout)), true)
		return nil
	case h.Typeflag == tar.TypeReg:
		sum := sha256.New()
		if _, err := io.Copy(sum, content); err != nil {
			return err
		}
		m[name] = imageEntry{entry{mode: fs.FileMode(h.Mode).Perm()}, attest.DigestFromSum(sum.Sum(nil))}
	case h.Typeflag == tar.TypeLink:
		target, ok := m[path.Join("/", h.Linkname)]
		if !ok {
			return fmt.Errorf("hard link to %s, which is not there", h.Linkname)
		}
		m[name] = target
	case h.Typeflag == tar.TypeSymlink:
		m[name] = imageEntry{entry: entry{mode: fs.ModeSymlink | 0o777, link: h.Linkname}}
	case h.Typeflag == tar.TypeDir:
		m[name] = imageEntry{entry: entry{mode: fs.ModeDir | 0o755}}
	default: // devices and pipes: no build reads its tools from them
		return nil
	}
	m.parents(name)
	return nil
}

// parents adds the directories above name that no entry of its own made.
func (m image) parents(name string) {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if _, ok := m[dir]; ok {
			return
		}
		m[dir] = imageEntry{entry: entry{mode: fs.ModeDir | 0o755}}
	}
}

func (m image) remove(dir string, self bool) {
	for name := range m {
		if name == dir && self || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
			delete(m, name)
		}
	}
}

// check reports the first of paths that is a regular file on this machine and
// not, with equal content, in the image.
func (m image) check(paths []string, digest func(real string) (attest.Digest, error)) error {
	for _, p := range paths {
		real, e, err := resolve(p)
		if err != nil {
			return fmt.Errorf("the build used a file that is gone: %w", err)
		}
		if !e.mode.IsRegular() {
			continue
		}
		want, err := digest(real)
		if err != nil {
			return err
		}
		inside, _, err := walk(m.lookup, p, func(string, entry) {})
		if errors.Is(err, fs.ErrNotExist) {
			return &OutsideError{Path: p, Content: want}
		}
		if err != nil {
			return err
		}
		if got := m[inside].content; got != want {
			return &OutsideError{Path: p, Content: want, Image: got}
		}
	}
	return nil
}

// An OutsideError is a file that a build opened and its builder image does not
// hold with the same content.
type OutsideError struct {
	Path    string
	Content attest.Digest // what the build read
	Image   attest.Digest // what the image holds there; "" for nothing
}

func (e *OutsideError) Error() string {
	if e.Image == "" {
		return fmt.Sprintf("the build opened %s, which is not in the builder image", e.Path)
	}
	return fmt.Sprintf("the build opened %s with content %s, the builder image holds %s there", e.Path, e.Content, e.Image)
}
