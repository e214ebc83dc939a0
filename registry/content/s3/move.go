package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// copies is how many parts of an object are copied at once. S3 copies up to
// 5 GiB in one go, but we would wait long for it.
const copies = 4

// Move makes the object at from the object at to, by copies inside the server,
// and removes from. After a failure from is still there, and to is what it was
// or the whole copy.
func (d *Driver) Move(ctx context.Context, from, to string) error {
	if err := checkPath(to); err != nil {
		return err
	}
	src, err := d.head(ctx, from)
	if err != nil {
		return err
	}
	if from == to {
		return nil
	}
	c := copying{d: d, from: d.key(from), to: d.key(to), toPath: to, size: *src.ContentLength, etag: *src.ETag}
	if c.size <= d.o.CopySize {
		err = c.once(ctx)
	} else {
		err = c.inParts(ctx)
	}
	if is(err, changed) {
		err = errors.New("it was changed while it was copied")
	}
	if err == nil {
		err = d.remove(ctx, c.from)
	}
	if err != nil {
		return failed("moving", from+" to "+to, sourceGone(err, from))
	}
	return nil
}

// sourceGone names the path that is missing.
func sourceGone(err error, from string) error {
	if is(err, noSuchKey, notFound) {
		return missing(from)
	}
	return err
}

// A copying is of one version of an object.
type copying struct {
	d            *Driver
	from, to     string // keys
	toPath, etag string
	size         int64
}

func (c *copying) source() *string {
	return new((&url.URL{Path: c.d.bucket + "/" + c.from}).EscapedPath())
}

func (c *copying) once(ctx context.Context) error {
	_, err := c.d.api.CopyObject(moves(ctx, c.size), &s3.CopyObjectInput{
		Bucket: &c.d.bucket, Key: &c.to, CopySource: c.source(), CopySourceIfMatch: &c.etag,
	})
	return err
}

func (c *copying) inParts(ctx context.Context) error {
	nonce := rand.Text()
	out, err := c.d.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &c.d.bucket, Key: &c.to, Metadata: map[string]string{nonceKey: nonce},
	})
	if err != nil {
		return err
	}
	upload := deref(out.UploadId)
	parts, err := c.parts(ctx, upload)
	if err == nil {
		err = c.d.complete(moves(ctx, c.size), c.to, upload, parts)
	}
	if err == nil {
		return nil
	}
	tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	if done, herr := c.d.isWritten(tidy, c.toPath, nonce, c.size); herr == nil && done {
		return nil // only the answer was lost
	}
	return errors.Join(err, c.d.abort(tidy, c.to, upload))
}

func (c *copying) parts(ctx context.Context, upload string) ([]types.CompletedPart, error) {
	size := c.d.o.CopySize
	parts := make([]types.CompletedPart, (c.size+size-1)/size)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copies)
	for i := range parts {
		g.Go(func() error {
			from, number := int64(i)*size, int32(i+1)
			to := min(from+size, c.size)
			out, err := c.d.api.UploadPartCopy(moves(ctx, to-from), &s3.UploadPartCopyInput{
				Bucket: &c.d.bucket, Key: &c.to, UploadId: &upload, PartNumber: &number,
				CopySource: c.source(), CopySourceIfMatch: &c.etag,
				CopySourceRange: new(fmt.Sprintf("bytes=%d-%d", from, to-1)),
			})
			if err != nil {
				return err
			}
			if out.CopyPartResult == nil || out.CopyPartResult.ETag == nil {
				return errors.New("the server names no version (ETag) of the part")
			}
			parts[i] = types.CompletedPart{ETag: out.CopyPartResult.ETag, PartNumber: &number}
			return nil
		})
	}
	return parts, g.Wait()
}
