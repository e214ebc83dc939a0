package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// nonceKey is the metadata by which a writer knows its own object again.
const nonceKey = "patchfit-write"

// tidying is how long a call may go on after its caller is gone, to leave
// things in order.
const tidying = 2 * time.Minute

// PutContent makes b the whole content of path.
func (d *Driver) PutContent(ctx context.Context, path string, b []byte) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if err := d.put(ctx, d.key(path), b, nil); err != nil {
		return failed("writing", path, err)
	}
	return nil
}

func (d *Driver) put(ctx context.Context, key string, b []byte, meta map[string]string) error {
	_, err := d.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &d.bucket, Key: &key, Body: bytes.NewReader(b), Metadata: meta,
	})
	return err
}

// Writer returns a writer of path. With add it goes on where the last one was
// closed or lost, and its Size says where that is; a path with an empty object
// counts as begun, one with a longer object is an error, and one nobody has
// begun is a PathNotFoundError. Otherwise it begins anew.
//
// Write ends when ctx does. Close does not: what the writer holds is stored, so
// that a client that went away can come back.
func (d *Driver) Writer(ctx context.Context, path string, add bool) (storagedriver.FileWriter, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	w := &writer{d: d, ctx: ctx, path: path, key: d.key(path), nonce: rand.Text()}
	if !add {
		return w, nil
	}
	err := w.resume(ctx)
	if isMissing(err) {
		err = w.resumeEmpty(ctx)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

// A writer is one upload. At most one of its parts is under way at a time, so
// that the parts S3 has are always the first ones, without a hole.
type writer struct {
	d         *Driver
	ctx       context.Context
	path, key string
	nonce     string // of the object to come
	upload    string // id of the multipart upload; none until a part is full
	parts     []types.CompletedPart
	size      int64
	buf       []byte      // behind the parts, shorter than one
	kept      int         // first bytes of buf that an earlier Close set aside
	flight    chan landed // of the part under way
	spare     []byte      // a part's buffer to use again
	noted     bool        // there may be an unfinished object
	tried     bool        // to commit
	over      error       // why there is nothing more to do
	err       error       // what the first failure was
}

type landed struct {
	part types.CompletedPart
	buf  []byte
	err  error
}

var errClosed, errCommitted, errCancelled = errors.New("already closed"), errors.New("already committed"), errors.New("already cancelled")

// Size returns how many bytes were written, by earlier writers of this upload too.
func (w *writer) Size() int64 { return w.size }

// Write takes p, and sends it on whenever a part is full.
func (w *writer) Write(p []byte) (int, error) {
	taken := 0
	for len(p) > 0 {
		if err := w.usable(w.ctx); err != nil {
			return taken, w.failed("writing", err)
		}
		n := w.fill(p)
		p, taken, w.size = p[n:], taken+n, w.size+int64(n)
		if len(w.buf) < w.d.o.PartSize {
			break
		}
		if err := w.ship(); err != nil {
			return taken, w.failed("writing", err)
		}
	}
	return taken, nil
}

// usable says why a writer takes nothing more. After a part that was lost the
// buffer stays full, and every further attempt to send it fails as the first.
func (w *writer) usable(ctx context.Context) error {
	if w.over != nil {
		return w.over
	}
	return context.Cause(ctx)
}

func (w *writer) failed(doing string, err error) error { return failed(doing, w.path, err) }

// fill appends as much of p to the buffer as a part still takes. The buffer
// doubles: most blobs are small, and a part is all that a large one needs.
func (w *writer) fill(p []byte) int {
	size := w.d.o.PartSize
	p = p[:min(len(p), size-len(w.buf))]
	if need := len(w.buf) + len(p); need > cap(w.buf) {
		grown := make([]byte, len(w.buf), min(size, max(need, 2*cap(w.buf), 64<<10)))
		copy(grown, w.buf)
		w.buf = grown
	}
	w.buf = append(w.buf, p...)
	return len(p)
}

// ship sends the full buffer off as the next part, once the one before it has
// arrived.
func (w *writer) ship() error {
	if err := w.land(); err != nil {
		return err
	}
	if err := w.begin(); err != nil {
		w.err = err
		return err
	}
	full, number := w.buf, w.next()
	if number > maxParts {
		w.err = fmt.Errorf("longer than %d parts of %d bytes", maxParts, w.d.o.PartSize)
		return w.err
	}
	w.buf, w.spare = w.spare[:0], nil
	if cap(w.buf) == 0 {
		w.buf = make([]byte, 0, w.d.o.PartSize)
	}
	flight := make(chan landed, 1)
	w.flight = flight
	go func() {
		part, err := w.send(w.ctx, number, full)
		flight <- landed{part, full, err}
	}()
	return nil
}

func (w *writer) next() int32 { return int32(len(w.parts)) + 1 }

// land waits for the part under way.
func (w *writer) land() error {
	if w.flight == nil {
		return w.err
	}
	l := <-w.flight
	w.flight = nil
	if l.err != nil {
		w.err = l.err
		return l.err
	}
	w.parts, w.spare = append(w.parts, l.part), l.buf
	return nil
}

// begin starts the multipart upload and notes its id, so that a later process
// finds the parts. A crash between the two leaves an upload without parts,
// which Sweep removes.
func (w *writer) begin() error {
	if w.upload != "" {
		return nil
	}
	out, err := w.d.api.CreateMultipartUpload(w.ctx, &s3.CreateMultipartUploadInput{
		Bucket: &w.d.bucket, Key: &w.key, Metadata: w.meta(),
	})
	if err != nil {
		return err
	}
	if out.UploadId == nil || *out.UploadId == "" {
		return errors.New("the server began an upload without an id")
	}
	w.upload = *out.UploadId
	return w.note(w.ctx, w.buf[:w.kept]) // what was promised stays promised until the part is there
}

func (w *writer) meta() map[string]string { return map[string]string{nonceKey: w.nonce} }

func (w *writer) send(ctx context.Context, number int32, b []byte) (types.CompletedPart, error) {
	out, err := w.d.api.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &w.d.bucket, Key: &w.key, UploadId: &w.upload, PartNumber: &number, Body: bytes.NewReader(b),
	})
	if err != nil {
		return types.CompletedPart{}, err
	}
	if out.ETag == nil {
		return types.CompletedPart{}, errors.New("the server names no version (ETag) of the part")
	}
	return types.CompletedPart{ETag: out.ETag, PartNumber: &number}, nil
}

// Close stores what is not committed so that another writer can go on.
func (w *writer) Close() error {
	if w.over != nil {
		return nil
	}
	w.over = errClosed
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), tidying)
	defer cancel()
	err := w.land()
	if err == nil {
		err = w.note(ctx, w.buf)
	}
	w.buf, w.spare = nil, nil
	if err != nil {
		return w.failed("setting aside", err)
	}
	return nil
}

// Commit makes what was written the object at the path. When it fails there is
// no new object, and it may be tried again.
func (w *writer) Commit(ctx context.Context) error {
	err := w.land()
	if e := w.usable(ctx); e != nil {
		err = e
	}
	if err != nil {
		return w.failed("committing", err)
	}
	w.tried = true
	if err := w.finish(ctx); err != nil {
		// The answer may have been lost, not the request: look.
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
		defer cancel()
		if mine, herr := w.landedWhole(tidy); herr != nil || !mine {
			return w.failed("committing", err)
		}
	}
	w.over = errCommitted
	w.buf, w.spare = nil, nil
	w.forget(ctx)
	return nil
}

func (w *writer) finish(ctx context.Context) error {
	if w.upload == "" {
		return w.d.put(ctx, w.key, w.buf, w.meta())
	}
	parts := w.parts
	if len(w.buf) > 0 {
		if w.next() > maxParts {
			return fmt.Errorf("longer than %d parts of %d bytes", maxParts, w.d.o.PartSize)
		}
		last, err := w.send(ctx, w.next(), w.buf)
		if err != nil {
			return err
		}
		parts = append(parts[:len(parts):len(parts)], last)
	}
	return w.d.complete(moves(ctx, w.size), w.key, w.upload, parts)
}

// complete makes one object of the parts.
func (d *Driver) complete(ctx context.Context, key, upload string, parts []types.CompletedPart) error {
	_, err := d.api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &d.bucket, Key: &key, UploadId: &upload,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// landedWhole reports whether the object at the path is this writer's.
func (w *writer) landedWhole(ctx context.Context) (bool, error) {
	return w.d.isWritten(ctx, w.path, w.nonce, w.size)
}

func (d *Driver) isWritten(ctx context.Context, path, nonce string, size int64) (bool, error) {
	out, err := d.head(ctx, path)
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return out.Metadata[nonceKey] == nonce && *out.ContentLength == size, nil
}

// Cancel removes what was written. After a Commit that failed without a word
// from the server, that is the object too, should it have come to be.
func (w *writer) Cancel(ctx context.Context) error {
	if w.over == errCommitted || w.over == errCancelled {
		return w.failed("cancelling", w.over)
	}
	_ = w.land() // the part under way goes with the others
	w.over = errCancelled
	w.buf, w.spare = nil, nil
	err := w.d.abort(ctx, w.key, w.upload)
	if w.noted {
		err = errors.Join(err, w.d.remove(ctx, w.d.unfinished(w.path)))
	}
	if w.tried {
		mine, herr := w.landedWhole(ctx)
		err = errors.Join(err, herr)
		if mine {
			err = errors.Join(err, w.d.remove(ctx, w.key))
		}
	}
	if err != nil {
		return w.failed("cancelling", err)
	}
	return nil
}

// abort removes the parts of an upload; one that is gone is no error.
func (d *Driver) abort(ctx context.Context, key, upload string) error {
	if upload == "" {
		return nil
	}
	_, err := d.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &d.bucket, Key: &key, UploadId: &upload})
	if is(err, noSuchUpload) {
		return nil
	}
	return err
}

// remove deletes one object; one that is gone is no error.
func (d *Driver) remove(ctx context.Context, key string) error {
	_, err := d.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &d.bucket, Key: &key})
	if is(err, noSuchKey, notFound) {
		return nil
	}
	return err
}
