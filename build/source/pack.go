package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/archive"
)

// versions are the directories, or files, by which tools keep the history of a
// tree. They are no source: two checkouts of one commit differ in them.
var versions = []string{".git", ".hg", ".svn", ".bzr", "_darcs"}

// directory makes the archive of dir: in the order of a walk, in which a
// directory comes before what is in it and names are sorted in each.
func directory(ctx context.Context, dir, to string, except ...string) (*Tree, error) {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	p := packer{ctx: ctx, dir: dir, to: archive.New(io.MultiWriter(f, sum))}
	for _, name := range except {
		info, err := os.Stat(name)
		if err != nil {
			return nil, errors.Join(err, os.Remove(to))
		}
		p.except = append(p.except, info)
	}
	if err := filepath.WalkDir(dir, p.visit); err != nil {
		return nil, errors.Join(err, os.Remove(to))
	}
	if p.files == 0 {
		return nil, errors.Join(errors.New("holds no file: name the root of a source tree"), os.Remove(to))
	}
	if err := p.to.Close(); err != nil {
		return nil, errors.Join(err, os.Remove(to))
	}
	size, err := f.Seek(0, io.SeekCurrent)
	return &Tree{Path: to, Digest: attest.DigestFromSum(sum.Sum(nil)), Size: size, Files: p.files}, errors.Join(err, f.Close())
}

type packer struct {
	ctx     context.Context
	dir     string
	except  []fs.FileInfo
	to      *archive.Writer
	entries int
	files   int
	bytes   int64
}

func (p *packer) visit(path string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case p.ctx.Err() != nil:
		return p.ctx.Err()
	case path == p.dir:
		return nil
	case slices.Contains(versions, d.Name()):
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	case d.IsDir() && p.excepts(d):
		return fs.SkipDir
	}
	if p.entries++; p.entries > MaxEntries {
		return fmt.Errorf("holds more than %d files and directories", MaxEntries)
	}
	name, err := filepath.Rel(p.dir, path)
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		return p.to.Dir(name)
	case d.Type() == fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return p.to.Link(name, target)
	case d.Type().IsRegular():
		return p.file(path, name)
	}
	return fmt.Errorf("%s is neither file, directory nor link, and no source", name)
}

func (p *packer) excepts(d fs.DirEntry) bool {
	info, err := d.Info()
	return err == nil && slices.ContainsFunc(p.except, func(e fs.FileInfo) bool { return os.SameFile(e, info) })
}

func (p *packer) file(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p.files++
	if p.bytes += info.Size(); p.bytes > MaxBytes {
		return fmt.Errorf("holds more than %d bytes", int64(MaxBytes))
	}
	return p.to.File(name, info.Mode().Perm()&0o111 != 0, info.Size(), f)
}
