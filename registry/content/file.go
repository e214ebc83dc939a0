package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/patchfit/patchfit/attest"
)

// file is a draft on a disk.
type file struct {
	disk *Disk
	name string
	open *os.File // nil: at rest
	over bool

	size   int64 // bytes written
	direct bool  // writes go past the page cache
}

const copySize = 256 << 10

// buffers are for copying between a connection and a file.
var buffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// ReadFrom implements [Draft].
func (f *file) ReadFrom(r io.Reader) (int64, error) {
	if err := f.wake(); err != nil {
		return 0, err
	}
	buf := buffers.Get().(*[copySize]byte)
	defer buffers.Put(buf)
	n, err := io.ReadFull(r, buf[:])
	if err == nil { // more is to come: it is large
		if l := f.disk.lanes.take(); l != nil {
			defer f.disk.lanes.give(l)
			return l.carry(f, io.MultiReader(bytes.NewReader(buf[:]), r))
		}
	}
	return f.copy(buf[:], n, err, r)
}

// copy appends n bytes of buf, and then what r has unless err ended it.
func (f *file) copy(buf []byte, n int, err error, r io.Reader) (taken int64, _ error) {
	for {
		m, failed := f.write(buf[:n])
		taken += int64(m)
		switch {
		case failed != nil:
			return taken, full(failed)
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return taken, nil
		case err != nil:
			return taken, err
		}
		n, err = io.ReadFull(r, buf)
	}
}

// wake opens the file, at its end.
func (f *file) wake() error {
	if f.over {
		return errors.New("the upload is over")
	}
	if f.open != nil {
		return nil
	}
	var err error
	f.open, err = os.OpenFile(f.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return full(err)
	}
	return nil
}

// Rest implements [Draft].
func (f *file) Rest() error {
	if f.open == nil {
		return nil
	}
	err := f.open.Close()
	f.open = nil
	return err
}

// Content implements [Draft].
func (f *file) Content(context.Context) (io.ReadCloser, error) {
	if err := f.wake(); err != nil {
		return nil, err
	}
	return os.Open(f.name)
}

// Commit implements [Draft]. A crash before the rename leaves a file in
// uploads/, which the next start removes; after it, whole bytes that are in no
// repository.
func (f *file) Commit(_ context.Context, d attest.Digest) error {
	if err := wellFormed(d); err != nil {
		return err
	}
	if err := f.wake(); err != nil {
		return err
	}
	if err := errors.Join(f.disk.sync(f.open), f.Rest()); err != nil {
		return full(fmt.Errorf("syncing an upload: %w", err))
	}
	path := f.disk.path(d)
	if err := os.Rename(f.name, path); err != nil {
		return full(err)
	}
	f.over = true
	return f.disk.syncDir(filepath.Dir(path))
}

// Cancel implements [Draft].
func (f *file) Cancel(context.Context) error {
	err := f.Rest()
	if f.over {
		return err
	}
	f.over = true
	if gone := os.Remove(f.name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
