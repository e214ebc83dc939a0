package source

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// epoch is what times are while a stranger's tree is on its way to an archive.
var epoch = time.Unix(0, 0)

// Unpack makes the directory of an archive. dir has to be there, and empty. All
// files get the time at, so that make sees none that is newer than another.
// Nothing is written outside of dir, whoever made the archive.
func Unpack(ctx context.Context, r io.Reader, dir string, at time.Time) error {
	if err := unpack(ctx, r, dir, at); err != nil {
		return fmt.Errorf("unpacking the source: %w", err)
	}
	return nil
}

func unpack(ctx context.Context, r io.Reader, dir string, at time.Time) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	r, err = plainTar(r)
	if err != nil {
		return err
	}
	u := unpacker{root: root, at: at, dirs: map[string]bool{".": true}}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("not a readable tar: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.add(h, t); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, plain(err))
		}
	}
}

// plainTar takes off the compression there is.
func plainTar(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	if begin, err := b.Peek(2); err != nil || begin[0] != 0x1f || begin[1] != 0x8b {
		return b, nil
	}
	return gzip.NewReader(b)
}

// maxName is how long a path may be: each element of it is opened, for each of
// those above it.
const maxName = 4095

type unpacker struct {
	root    *os.Root
	at      time.Time
	dirs    map[string]bool // those that are there, and no links
	entries int
	bytes   int64
}

func (u *unpacker) add(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader { // git archive says its commit there
		return nil
	}
	if u.entries++; u.entries > MaxEntries {
		return fmt.Errorf("the archive holds more than %d files and directories", MaxEntries)
	}
	if len(h.Name) > maxName {
		return fmt.Errorf("has a name of %d bytes, at most %d are opened by one", len(h.Name), maxName)
	}
	name := path.Clean(h.Name)
	if name == "." {
		return nil
	}
	if !fs.ValidPath(name) {
		return errors.New("leads out of the tree")
	}
	if err := u.mkdir(path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.mkdir(name)
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		return u.file(name, h.FileInfo().Mode(), h.Size, content)
	case tar.TypeLink:
		return u.hardLink(name, path.Clean(h.Linkname))
	}
	return fmt.Errorf("is of type %q: neither file, directory nor link, and no source", h.Typeflag)
}

// mkdir makes a directory and those above it. A link that is in the way is an
// error: what comes below it would be somewhere else.
func (u *unpacker) mkdir(name string) error {
	if u.dirs[name] {
		return nil
	}
	if err := u.mkdir(path.Dir(name)); err != nil {
		return err
	}
	if len(u.dirs) > MaxEntries { // most archives list them, a hostile one need not
		return fmt.Errorf("the archive holds more than %d directories", MaxEntries)
	}
	if err := u.root.Mkdir(name, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is no directory, and something is in it", name)
		}
		return err
	}
	u.dirs[name] = true
	return nil
}

func (u *unpacker) file(name string, mode fs.FileMode, size int64, content io.Reader) error {
	if u.bytes += size; size < 0 || u.bytes > MaxBytes {
		return fmt.Errorf("the archive holds more than %d bytes", int64(MaxBytes))
	}
	perm := fs.FileMode(0o644)
	if mode.Perm()&0o111 != 0 {
		perm = 0o755
	}
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if errors.Is(err, fs.ErrExist) {
		return errors.New("stands twice in the archive")
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Chmod(perm), f.Close(), u.root.Chtimes(name, u.at, u.at))
}

// hardLink copies: in a source tree two names of one file are two files.
func (u *unpacker) hardLink(name, target string) error {
	info, err := u.root.Lstat(target)
	if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(target, "/") {
		return fmt.Errorf("is a link to %.200q, which is no file before it", target)
	}
	f, err := u.root.Open(target)
	if err != nil {
		return err
	}
	defer f.Close()
	return u.file(name, info.Mode(), info.Size(), f)
}

// finish gives directories their time, once nothing is put into them any more.
func (u *unpacker) finish() error {
	for name := range u.dirs {
		if err := u.root.Chtimes(name, u.at, u.at); err != nil {
			return err
		}
	}
	return nil
}

// plain takes the path off an error that will be given one.
func plain(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
