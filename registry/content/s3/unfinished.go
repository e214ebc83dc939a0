package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// unfinishedDir is outside what [storagedriver.PathRegexp] lets anyone name.
const unfinishedDir = "!unfinished"

// unfinished returns the key of what is known about the open upload of path.
func (d *Driver) unfinished(path string) string { return d.prefix + unfinishedDir + path }

// A remnant is an upload set aside: which one it is, and the bytes that follow
// its first parts. It is stored as one line and the bytes, because one object
// is written whole or not at all.
type remnant struct {
	nonce  string
	upload string // empty: no part was ever full
	parts  int    // before the tail
	tail   []byte
}

const (
	remnantFormat = "patchfit-unfinished/1"
	maxRemnantHdr = 4 << 10
)

func (r remnant) encode() []byte {
	head := fmt.Sprintf("%s %s %d %s\n", remnantFormat, r.nonce, r.parts, r.upload)
	return append([]byte(head), r.tail...)
}

var errRemnant = errors.New("what is stored about the unfinished upload is not ours or damaged")

func parseRemnant(b []byte) (remnant, error) {
	head, tail, ok := bytes.Cut(b, []byte("\n"))
	f := strings.Split(string(head), " ")
	if !ok || len(head) > maxRemnantHdr || len(f) != 4 || f[0] != remnantFormat || f[1] == "" {
		return remnant{}, errRemnant
	}
	n, err := strconv.Atoi(f[2])
	if err != nil || n < 0 || n > maxParts || strconv.Itoa(n) != f[2] || f[3] == "" && n > 0 {
		return remnant{}, errRemnant
	}
	return remnant{nonce: f[1], parts: n, upload: f[3], tail: tail}, nil
}

// note stores the writer's state with the given tail.
func (w *writer) note(ctx context.Context, tail []byte) error {
	w.noted = true
	r := remnant{w.nonce, w.upload, len(w.parts), tail}
	return w.d.put(ctx, w.d.unfinished(w.path), r.encode(), nil)
}

// forget removes the writer's state. The object is there already, so that a
// failure is no failure of the write; Sweep will do it later.
func (w *writer) forget(ctx context.Context) {
	if !w.noted {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	if err := w.d.remove(ctx, w.d.unfinished(w.path)); err != nil {
		w.d.o.Log.WarnContext(ctx, "removing the note of a finished upload", "path", w.path, "error", err)
	}
}

// resume takes up the upload that was set aside at the writer's path.
func (w *writer) resume(ctx context.Context) error {
	r, err := w.d.remnant(ctx, w.d.unfinished(w.path))
	if err != nil {
		return w.failed("taking up", err)
	}
	w.nonce, w.upload, w.noted, w.buf = r.nonce, r.upload, true, r.tail
	w.kept, w.size = len(r.tail), int64(len(r.tail))
	if r.upload == "" {
		return nil
	}
	listed, err := w.d.parts(ctx, w.key, r.upload)
	if is(err, noSuchUpload) {
		return missing(w.path) // swept, or committed by a process that died before it could say so
	}
	if err == nil {
		err = w.adopt(listed, r)
	}
	if err != nil {
		return w.failed("taking up", err)
	}
	return nil
}

// resumeEmpty takes an object without bytes for an upload without bytes.
func (w *writer) resumeEmpty(ctx context.Context) error {
	f, err := w.d.stat(ctx, w.path)
	if err == nil && f.Size() > 0 {
		return w.failed("appending to", errors.New("it is finished"))
	}
	fresh := writer{d: w.d, ctx: w.ctx, path: w.path, key: w.key, nonce: w.nonce}
	*w = fresh
	return err
}

// adopt takes over the parts S3 has. Those the remnant does not know came after
// it was written, by a process that died; they supersede its tail. The last of
// them may be the short end of a Commit that failed: nothing can follow it, and
// it can be sent again.
func (w *writer) adopt(listed []types.Part, r remnant) error {
	size := int64(0)
	for i, p := range listed {
		if p.PartNumber == nil || p.Size == nil || p.ETag == nil || int(*p.PartNumber) != i+1 {
			return errors.New("the upload has a hole: its parts are not the first ones")
		}
		if i >= r.parts && *p.Size < int64(w.d.o.PartSize) {
			break
		}
		w.parts = append(w.parts, types.CompletedPart{ETag: p.ETag, PartNumber: p.PartNumber})
		size += *p.Size
	}
	switch {
	case len(w.parts) < r.parts:
		return fmt.Errorf("the upload lost parts: %d of %d are left", len(w.parts), r.parts)
	case len(w.parts) > r.parts:
		w.buf = nil
	}
	w.size = size + int64(len(w.buf))
	return nil
}

// remnant reads what is stored at key.
func (d *Driver) remnant(ctx context.Context, key string) (remnant, error) {
	out, err := d.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &d.bucket, Key: &key})
	if err != nil {
		return remnant{}, err
	}
	defer out.Body.Close()
	size, err := endOf(out, 0)
	if err != nil {
		return remnant{}, err
	}
	if size > int64(d.o.PartSize)+maxRemnantHdr {
		return remnant{}, errRemnant
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(out.Body, b); err != nil {
		return remnant{}, err
	}
	return parseRemnant(b)
}

func (d *Driver) parts(ctx context.Context, key, upload string) ([]types.Part, error) {
	var all []types.Part
	for pages := s3.NewListPartsPaginator(d.api, &s3.ListPartsInput{Bucket: &d.bucket, Key: &key, UploadId: &upload}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Parts...)
	}
	return all, nil
}

// Sweep removes uploads nobody has added to for the given time, and returns
// how many. Replicas on one bucket may all do it: what is in use is younger.
func (d *Driver) Sweep(ctx context.Context, age time.Duration) (int, error) {
	before := time.Now().Add(-age)
	swept, err := d.sweepNoted(ctx, before)
	if err != nil {
		return swept, fmt.Errorf("sweeping unfinished uploads: %w", err)
	}
	n, err := d.sweepUnknown(ctx, before)
	if err != nil {
		err = fmt.Errorf("sweeping unfinished uploads: %w", err)
	}
	return swept + n, err
}

// sweepNoted removes what Close set aside.
func (d *Driver) sweepNoted(ctx context.Context, before time.Time) (int, error) {
	n := 0
	for o, err := range d.objects(ctx, d.unfinished("/"), "") {
		if err != nil {
			return n, err
		}
		if o.LastModified == nil || !o.LastModified.Before(before) {
			continue
		}
		if err := d.discard(ctx, *o.Key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// discard removes an unfinished upload by the key of its note. The parts go
// first: without the note nobody would find them but by age.
func (d *Driver) discard(ctx context.Context, note string) error {
	r, err := d.remnant(ctx, note)
	if is(err, noSuchKey) {
		return nil // another replica was here
	}
	if err == nil {
		path := strings.TrimPrefix(note, d.prefix+unfinishedDir)
		err = d.abort(ctx, d.key(path), r.upload)
	} else if errors.Is(err, errRemnant) {
		err = nil
	}
	if err != nil {
		return err
	}
	return d.remove(ctx, note)
}

// sweepUnknown aborts multipart uploads that no note knows: those of a crash
// right after their begin, and copies that were never completed.
func (d *Driver) sweepUnknown(ctx context.Context, before time.Time) (int, error) {
	n := 0
	in := &s3.ListMultipartUploadsInput{Bucket: &d.bucket, Prefix: &d.prefix}
	for {
		page, err := d.api.ListMultipartUploads(ctx, in)
		if err != nil {
			return n, err
		}
		for _, u := range page.Uploads {
			stale, err := d.stale(ctx, u, before)
			if err == nil && stale {
				n++
				err = d.abort(ctx, *u.Key, *u.UploadId)
			}
			if err != nil {
				return n, err
			}
		}
		if page.IsTruncated == nil || !*page.IsTruncated || page.NextKeyMarker == nil {
			return n, nil
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

func (d *Driver) stale(ctx context.Context, u types.MultipartUpload, before time.Time) (bool, error) {
	if u.Key == nil || u.UploadId == nil || u.Initiated == nil || !u.Initiated.Before(before) {
		return false, nil
	}
	path, ok := d.path(*u.Key)
	if !ok {
		return false, nil
	}
	r, err := d.remnant(ctx, d.unfinished(path))
	switch {
	case is(err, noSuchKey), errors.Is(err, errRemnant):
		return true, nil
	case err != nil:
		return false, err
	}
	return r.upload != *u.UploadId, nil // its note is young, or it would be gone
}
