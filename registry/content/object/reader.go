package object

import (
	"context"
	"errors"
	"fmt"
	"io"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// reader reads an object from where it was sought to. A seek costs a request
// only when something is read after it.
type reader struct {
	ctx    context.Context
	driver storagedriver.StorageDriver
	path   string
	size   int64
	at     int64
	open   io.ReadCloser // nil: none, or for another place
}

func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.open == nil {
		var err error
		if r.open, err = r.driver.Reader(r.ctx, r.path, r.at); err != nil {
			return 0, missing(err)
		}
	}
	n, err := r.open.Read(p)
	r.at += int64(n)
	if err == io.EOF && r.at < r.size {
		err = fmt.Errorf("%d of %d bytes: %w", r.at, r.size, io.ErrUnexpectedEOF)
	}
	return n, err
}

// Seek implements [io.Seeker].
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seeking before the start of an object")
	}
	if offset == r.at {
		return offset, nil
	}
	r.at = offset
	return offset, r.Close()
}

// Close implements [io.Closer]. What is read afterwards is another request.
func (r *reader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}
