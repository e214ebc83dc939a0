package builder

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/build"
)

// A source is a root file system that is being read. What it opened or unpacked
// is given back by close.
type source struct {
	tree tree
	temp string // for what is unpacked
	open []io.Closer
}

func (s *source) close() error {
	var all []error
	for _, c := range s.open {
		all = append(all, c.Close())
	}
	return errors.Join(all...)
}

// readRootfs reads the root file system at path: a directory, or a tar, which
// may be gzipped.
func (s *source) readRootfs(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return s.tree.readDir(ctx, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	var magic [2]byte
	_, err = f.ReadAt(magic[:], 0)
	if err != nil {
		return errors.Join(fmt.Errorf("%s is no tar: %w", path, err), f.Close())
	}
	mediaType := ocispec.MediaTypeImageLayer
	if magic == [2]byte{0x1f, 0x8b} {
		mediaType = ocispec.MediaTypeImageLayerGzip
	}
	if err := s.readLayer(ctx, f, mediaType); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readImage reads the root file system of an image, layer by layer.
func (s *source) readImage(ctx context.Context, l *build.Layout) error {
	for _, d := range l.Layers {
		blob, err := l.Blob(d)
		if err != nil {
			return err
		}
		if err := s.readLayer(ctx, blob, d.MediaType); err != nil {
			return fmt.Errorf("layer %s: %w", d.Digest, err)
		}
	}
	return nil
}

// maxUnpacked is the most that a compressed layer may become: more than any root
// file system to build with.
const maxUnpacked = 64 << 30

// readLayer reads one layer, and closes it. It is copied first: what is verified
// while it is read has to be the same when it is read again.
func (s *source) readLayer(ctx context.Context, r io.ReadCloser, mediaType string) error {
	defer r.Close()
	f, err := os.CreateTemp(s.temp, "layer-*")
	if err != nil {
		return err
	}
	s.open = append(s.open, f)
	var plain io.Reader = r
	switch mediaType {
	case ocispec.MediaTypeImageLayer:
	case ocispec.MediaTypeImageLayerGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip":
		if plain, err = gzip.NewReader(r); err != nil {
			return err
		}
	default:
		return fmt.Errorf("media type %.80q is not known: want a tar or a gzipped tar", mediaType)
	}
	n, err := io.Copy(f, io.LimitReader(&stoppable{ctx, plain}, maxUnpacked+1))
	if err != nil {
		return err
	}
	if n > maxUnpacked {
		return fmt.Errorf("unpacks to more than %d bytes", int64(maxUnpacked))
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // to its end, where it is verified
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.tree.readTar(ctx, f, f)
}

// A stoppable reader ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

// readDir reads the tree below a directory, without following links and without
// leaving its file system's tree of names.
func (t tree) readDir(ctx context.Context, root string) error {
	linked := map[[2]uint64]*node{}
	root, err := filepath.EvalSymlinks(root)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || p == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n, err := readNode(p, info, linked)
		if err != nil || n == nil {
			return err
		}
		return t.add(strings.TrimPrefix(filepath.ToSlash(p), strings.TrimSuffix(root, "/")), n)
	})
}

// readNode returns what is at p; nil where no image can hold it. Names of one
// file lead to one node.
func readNode(p string, info fs.FileInfo, linked map[[2]uint64]*node) (*node, error) {
	n := &node{mode: info.Mode() & (fs.ModeType | fs.ModeSticky | fs.ModePerm), time: info.ModTime()}
	switch {
	case n.mode.IsDir():
		return n, nil
	case n.mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(p)
		n.link = target
		return n, err
	case !n.mode.IsRegular():
		return nil, nil
	}
	n.mode = n.mode.Perm()
	n.size = info.Size()
	n.open = func() (io.ReadCloser, error) { return os.Open(p) }
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		key := [2]uint64{uint64(st.Dev), st.Ino}
		if first := linked[key]; first != nil {
			return first, nil
		}
		linked[key] = n
	}
	return n, nil
}
