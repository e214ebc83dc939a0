package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// maxContent is the longest object GetContent reads into memory.
const maxContent = 64 << 20

// GetContent returns the whole object at path, of at most 64 MiB.
func (d *Driver) GetContent(ctx context.Context, path string) ([]byte, error) {
	r, err := d.open(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.end > maxContent {
		return nil, fmt.Errorf("%s: %s of %d bytes is too long to be read at once: read it as a stream", name, path, r.end)
	}
	b := make([]byte, r.end)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}

// Reader returns the object at path from offset on; nothing when offset is at
// or behind its end.
func (d *Driver) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	r, err := d.open(ctx, path, offset)
	if err != nil {
		return nil, err // a nil interface, not a nil *reader in one
	}
	return r, nil
}

// A reader is one version of an object, from a place to its end.
type reader struct {
	d        *Driver
	ctx      context.Context
	path     string
	pos, end int64
	etag     string
	body     io.ReadCloser // nil: to be opened at pos
	failures int           // since mark
	mark     int64
	closed   bool
}

func (d *Driver) open(ctx context.Context, path string, offset int64) (*reader, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, storagedriver.InvalidOffsetError{Path: path, Offset: offset, DriverName: name}
	}
	r := &reader{d: d, ctx: ctx, path: path, pos: offset, mark: offset}
	err := r.request()
	if is(err, invalidRange) {
		r.end = offset
		return r, nil
	}
	if err != nil {
		return nil, failed("reading", path, err)
	}
	return r, nil
}

// request opens the body at pos, of the version read so far if any.
func (r *reader) request() error {
	key := r.d.key(r.path)
	in := &s3.GetObjectInput{Bucket: &r.d.bucket, Key: &key}
	if r.pos > 0 { // an empty object has no first byte to ask for
		in.Range = new(fmt.Sprintf("bytes=%d-", r.pos))
	}
	if r.etag != "" {
		in.IfMatch = &r.etag
	}
	out, err := r.d.api.GetObject(r.ctx, in)
	if err != nil {
		return err
	}
	end, err := endOf(out, r.pos)
	if err == nil && out.ETag == nil {
		err = errors.New("the server names no version (ETag)")
	}
	if err == nil && r.etag != "" && (end != r.end || *out.ETag != r.etag) {
		err = errors.New("the server sent another version")
	}
	if err != nil {
		out.Body.Close()
		return err
	}
	r.body, r.end, r.etag = out.Body, end, *out.ETag
	return nil
}

// endOf returns the object's size, after making sure that the answer is the
// object from pos to its end: some servers and caches ignore ranges.
func endOf(out *s3.GetObjectOutput, pos int64) (int64, error) {
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return 0, errors.New("the server does not say how long the object is")
	}
	end := pos + *out.ContentLength
	switch {
	case pos > 0 && out.ContentRange == nil:
		return 0, fmt.Errorf("the server ignored the range from byte %d", pos)
	case pos == 0 && out.ContentRange == nil:
		return end, nil
	}
	total := strconv.FormatInt(end, 10)
	if want := fmt.Sprintf("bytes %d-%d/%s", pos, end-1, total); *out.ContentRange != want {
		return 0, fmt.Errorf("the server answered with %q, want %q", *out.ContentRange, want)
	}
	return end, nil
}

// Read returns the next bytes. It never returns io.EOF before the object's end.
func (r *reader) Read(p []byte) (int, error) {
	for {
		switch {
		case r.closed:
			return 0, fs.ErrClosed
		case r.pos >= r.end:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		n, err := r.read(p)
		r.pos += int64(n)
		if err == io.EOF && r.pos < r.end {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			if err := r.broken(err); err != nil {
				return n, failed("reading", r.path, err)
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (r *reader) read(p []byte) (int, error) {
	if r.body == nil {
		if err := r.request(); err != nil {
			return 0, permanent{err} // the SDK has tried often enough
		}
	}
	return r.body.Read(p[:min(int64(len(p)), r.end-r.pos)])
}

// A permanent error is not worth another attempt.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// broken decides whether to go on after err: nil says that the next read may
// ask again. A part's worth of progress pays for all failures before it.
func (r *reader) broken(err error) error {
	r.drop()
	var last permanent
	if errors.As(err, &last) {
		if is(err, changed) {
			return errors.New("it was changed while it was read")
		}
		return last.error
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if r.pos-r.mark >= int64(r.d.o.PartSize) {
		r.mark, r.failures = r.pos, 0
	}
	if r.failures++; r.failures >= r.d.o.Attempts {
		return fmt.Errorf("broken off %d times, last at byte %d of %d: %w", r.failures, r.pos, r.end, err)
	}
	return r.d.pause(r.ctx, r.failures)
}

func (r *reader) drop() error {
	if r.body == nil {
		return nil
	}
	err := r.body.Close()
	r.body = nil
	return err
}

// Close ends the request.
func (r *reader) Close() error {
	r.closed = true
	return r.drop()
}

// A fileInfo is what S3 says about an object.
type fileInfo struct {
	storagedriver.FileInfoInternal
	etag string
}

// Version is as [Driver.Version].
func (f fileInfo) Version() string {
	return strings.Join([]string{f.etag, strconv.FormatInt(f.Size(), 10), f.ModTime().UTC().Format("20060102T150405.000Z")}, " ")
}

// Stat returns size and time of the object at path, or that path is a
// directory: the beginning of other paths. What it returns for an object has a
// method Version() string, which says what [Driver.Version] says.
func (d *Driver) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if path != "/" {
		f, err := d.stat(ctx, path)
		if !isMissing(err) {
			if err != nil {
				return nil, err
			}
			return f, nil
		}
	}
	prefix := d.under(path)
	one := int32(1)
	out, err := d.api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &d.bucket, Prefix: &prefix, MaxKeys: &one})
	if err != nil {
		return nil, failed("looking at", path, err)
	}
	if len(out.Contents) == 0 && path != "/" {
		return nil, missing(path)
	}
	return storagedriver.FileInfoInternal{FileInfoFields: storagedriver.FileInfoFields{Path: path, IsDir: true}}, nil
}

// Version returns a word that differs whenever the object at path was written
// again: its ETag, size and time. An ETag is no hash one could check content
// against: with many parts or encryption it is the server's own, and elsewhere
// it is MD5.
func (d *Driver) Version(ctx context.Context, path string) (string, error) {
	f, err := d.stat(ctx, path)
	if err != nil {
		return "", err
	}
	return f.Version(), nil
}

func (d *Driver) stat(ctx context.Context, path string) (fileInfo, error) {
	out, err := d.head(ctx, path)
	if err != nil {
		return fileInfo{}, err
	}
	return info(path, *out.ContentLength, out.LastModified, *out.ETag), nil
}

// head returns the headers of the object at path; size and ETag are there.
func (d *Driver) head(ctx context.Context, path string) (*s3.HeadObjectOutput, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	key := d.key(path)
	out, err := d.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &d.bucket, Key: &key})
	if err != nil {
		return nil, failed("looking at", path, err)
	}
	if out.ContentLength == nil || out.ETag == nil {
		return nil, failed("looking at", path, errors.New("the server does not say its size and version"))
	}
	return out, nil
}

func isMissing(err error) bool {
	var e storagedriver.PathNotFoundError
	return errors.As(err, &e)
}
