// Package source makes one file of a source tree, and a tree of that file again
// (docs/spec/source.md).
//
// A build starts from an archive, never from somebody's directory: the archive
// has a digest, which is in the provenance, and it goes into the registry, so
// that whoever builds again starts from the same bytes. It holds names, the
// bytes of files, links and whether a file may be run, and nothing of when and
// by whom. A tree comes as a directory, a tar, or a git bundle.
//
//	source.go  what a tree can come as
//	pack.go    a directory made an archive
//	unpack.go  an archive, also a stranger's, made a directory
//	bundle.go  a commit in a git bundle
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/patchfit/patchfit/attest"
)

// How much a source tree may be.
const (
	MaxEntries = 1 << 20
	MaxBytes   = 16 << 30
)

// A Tree is a source tree as an archive.
type Tree struct {
	Path   string        // of the archive
	Digest attest.Digest // of the archive
	Size   int64         // of the archive, in bytes
	Files  int           // regular files
	Commit string        // that it is, in hex, where it came as a git bundle
}

// An Origin is where a source tree comes from.
type Origin struct {
	Path     string // a directory, a tar (plain or gzip), or a git bundle
	Revision string // of a bundle; "" is its HEAD
	// Except are directories of whoever packs, which may be in the tree, and are no
	// part of it.
	Except []string
}

// Pack makes the archive of a source tree in the file to, which must not be
// there yet. scratch is a directory for what is needed on the way.
func Pack(ctx context.Context, from Origin, to, scratch string) (*Tree, error) {
	t, err := pack(ctx, from, to, scratch)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", from.Path, err)
	}
	return t, nil
}

func pack(ctx context.Context, from Origin, to, scratch string) (*Tree, error) {
	f, err := os.Open(from.Path)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir() && from.Revision != "":
		return nil, errors.New("a revision is of a git bundle, this is a directory")
	case info.IsDir():
		return directory(ctx, from.Path, to, from.Except...)
	case !info.Mode().IsRegular():
		return nil, errors.New("is neither a directory nor a file")
	}
	is, err := isBundle(f)
	switch {
	case err != nil:
		return nil, err
	case is:
		return bundle(ctx, from, to, scratch)
	case from.Revision != "":
		return nil, errors.New("a revision is of a git bundle, this is none")
	}
	return stranger(ctx, f, to, scratch)
}

// isBundle tells a git bundle by how it begins (git, gitformat-bundle), and
// leaves f at its begin.
func isBundle(f io.ReadSeeker) (bool, error) {
	begin := make([]byte, len("# v2 git bundle\n"))
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	begin = begin[:n]
	return bytes.Equal(begin, []byte("# v2 git bundle\n")) || bytes.Equal(begin, []byte("# v3 git bundle\n")), nil
}

// stranger makes the archive of a tar that somebody else made.
func stranger(ctx context.Context, r io.Reader, to, scratch string) (*Tree, error) {
	dir, err := os.MkdirTemp(scratch, "tree-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := unpack(ctx, r, dir, epoch); err != nil {
		return nil, err
	}
	return directory(ctx, dir, to)
}
