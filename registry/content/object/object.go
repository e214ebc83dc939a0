// Package object keeps the registry's blobs as objects behind one of
// distribution's storage drivers: an S3 bucket with package s3, or whatever
// else distribution has a driver for.
//
// A blob is the object blobs/sha256/xx/HEX, where xx are the first two digits
// of HEX. It comes in as uploads/ID and gets its name by a move, which the
// driver makes whole or not at all; that it is durable then is the object
// store's promise. An object's version is what its driver says of it: an ETag
// where it has one, else its size and time. Whoever can write to the bucket can
// put other bytes under the same size and time where there is no ETag; package
// content hashes an object again whenever its version changed, and the host
// hashes everything.
package object

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/content"
)

const (
	blobsDir   = "/blobs/sha256"
	uploadsDir = "/uploads"
)

// A Backend is a [content.Backend] behind a driver.
type Backend struct {
	driver storagedriver.StorageDriver
}

var _ content.Backend = (*Backend)(nil)

// Open returns the backend behind driver. What earlier processes left of their
// uploads is removed: one process at a time uses a bucket and prefix.
func Open(ctx context.Context, driver storagedriver.StorageDriver) (*Backend, error) {
	if err := driver.Delete(ctx, uploadsDir); err != nil && !isMissing(err) {
		return nil, fmt.Errorf("removing unfinished uploads: %w", err)
	}
	return &Backend{driver}, nil
}

func isMissing(err error) bool { return errors.As(err, new(storagedriver.PathNotFoundError)) }

// missing names the lack of an object in the words of the contract.
func missing(err error) error {
	if isMissing(err) {
		return content.ErrNotFound
	}
	return err
}

func pathOf(d attest.Digest) (string, error) {
	if _, err := attest.ParseDigest(string(d)); err != nil {
		return "", err
	}
	return path.Join(blobsDir, d.Hex()[:2], d.Hex()), nil
}

// Open implements [content.Backend].
func (b *Backend) Open(ctx context.Context, d attest.Digest) (io.ReadSeekCloser, content.Version, error) {
	p, err := pathOf(d)
	if err != nil {
		return nil, content.Version{}, err
	}
	v, err := b.Version(ctx, d)
	if err != nil {
		return nil, v, err
	}
	return &reader{ctx: ctx, driver: b.driver, path: p, size: v.Size}, v, nil
}

// Version implements [content.Backend].
func (b *Backend) Version(ctx context.Context, d attest.Digest) (content.Version, error) {
	p, err := pathOf(d)
	if err != nil {
		return content.Version{}, err
	}
	info, err := b.driver.Stat(ctx, p)
	if err != nil {
		return content.Version{}, missing(err)
	}
	v := content.Version{Size: info.Size(), Object: info.ModTime().UTC().Format(time.RFC3339Nano)}
	if tagged, ok := info.(interface{ Version() string }); ok {
		v.Object = tagged.Version()
	}
	return v, nil
}

// Remove implements [content.Backend].
func (b *Backend) Remove(ctx context.Context, d attest.Digest) error {
	p, err := pathOf(d)
	if err != nil {
		return err
	}
	if err := b.driver.Delete(ctx, p); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// List implements [content.Backend]. Objects whose names are no digests are
// nobody's and are left alone.
func (b *Backend) List(ctx context.Context) iter.Seq2[content.Listed, error] {
	return func(yield func(content.Listed, error) bool) {
		err := b.driver.Walk(ctx, blobsDir, func(info storagedriver.FileInfo) error {
			d, err := attest.ParseDigest("sha256:" + path.Base(info.Path()))
			if info.IsDir() || err != nil {
				return nil
			}
			if !yield(content.Listed{Digest: d, Size: info.Size(), Modified: info.ModTime()}, nil) {
				return storagedriver.ErrFilledBuffer
			}
			return nil
		})
		if err != nil && !isMissing(err) && !errors.Is(err, storagedriver.ErrFilledBuffer) {
			yield(content.Listed{}, err)
		}
	}
}

// Free implements [content.Backend]: a bucket has no end.
func (b *Backend) Free() (free, all int64, err error) { return 0, 0, nil }

// Begin implements [content.Backend].
func (b *Backend) Begin(context.Context) (content.Draft, error) {
	return &draft{driver: b.driver, path: path.Join(uploadsDir, rand.Text())}, nil
}

// draft is an upload behind a driver.
type draft struct {
	driver storagedriver.StorageDriver
	path   string
	open   storagedriver.FileWriter // nil: at rest
	begun  bool
	over   bool
}

// ReadOnce reports that what came in can be read only once it has a name.
func (*draft) ReadOnce() bool { return true }

func (f *draft) wake(ctx context.Context) error {
	if f.over {
		return errors.New("the upload is over")
	}
	if f.open != nil {
		return nil
	}
	w, err := f.driver.Writer(ctx, f.path, f.begun)
	if err != nil {
		return err
	}
	f.open, f.begun = w, true
	return nil
}

// ReadFrom implements [content.Draft]. An upload outlives the request that a
// context would be of.
func (f *draft) ReadFrom(r io.Reader) (int64, error) {
	if err := f.wake(context.Background()); err != nil {
		return 0, err
	}
	return io.Copy(writerOnly{f.open}, r)
}

// writerOnly hides what else a writer of a driver can do, so that all bytes go
// one way.
type writerOnly struct{ io.Writer }

// Rest implements [content.Draft].
func (f *draft) Rest() error {
	if f.open == nil {
		return nil
	}
	err := f.open.Close()
	f.open = nil
	return err
}

// Content implements [content.Draft].
func (f *draft) Content(context.Context) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}

// Commit implements [content.Draft].
func (f *draft) Commit(ctx context.Context, d attest.Digest) error {
	p, err := pathOf(d)
	if err != nil {
		return err
	}
	if err := f.wake(ctx); err != nil {
		return err
	}
	if err := errors.Join(f.open.Commit(ctx), f.Rest()); err != nil {
		return err
	}
	if err := f.driver.Move(ctx, f.path, p); err != nil {
		return err
	}
	f.over = true
	return nil
}

// Cancel implements [content.Draft].
func (f *draft) Cancel(ctx context.Context) error {
	if f.over || !f.begun {
		f.over = true
		return nil
	}
	err := f.wake(ctx)
	f.over = true
	if err == nil {
		err = f.open.Cancel(ctx)
		_ = f.Rest() // some drivers closed it when they cancelled it, and say so
	}
	if gone := f.driver.Delete(ctx, f.path); gone != nil && !isMissing(gone) {
		err = errors.Join(err, gone)
	}
	if isMissing(err) {
		return nil
	}
	return err
}
