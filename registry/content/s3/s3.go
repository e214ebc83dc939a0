// Package s3 is blobs in an S3 bucket, behind distribution's driver interface.
//
// Distribution brings a driver of its own, on version 1 of Amazon's SDK, which
// has been without support since July 2025. This one is small and stands on
// version 2, github.com/aws/aws-sdk-go-v2/service/s3: every module it links
// comes from one publisher, was in our module graph already, and leaves
// addresses, keys, retries and deadlines to us. The price is 6.0 MB of a
// server of 40 (distribution's own: 9). The other candidate, minio-go, costs
// 0.8 MB and ten more modules of six authors; for what guards patches, fewer
// hands weigh more than bytes. What Amazon's SDK adds that not every S3 server
// understands (checksum trailers, bulk deletes, Expect headers) is left off:
// the requests made here are those S3 has had for ten years.
//
// # What holds
//
//   - A path has its bytes whole or not at all. [Driver.Writer] shows nothing
//     before Commit, and a Commit that fails leaves no object.
//   - Bytes read are the bytes of one version of the object, in order and
//     complete, or the reader returns an error. A connection that breaks is
//     taken up again at the same byte of the same version.
//   - The signature of a request covers the hash of its body: S3 refuses bytes
//     that changed on their way.
//   - Every request ends: it is tried [Options].Attempts times, and each try
//     gives up after [Options].Patience and a second for each MiB it moves.
//   - A writer holds at most two parts (16 MiB); a reader holds no buffer.
//   - Nothing leaves but through this process: [Driver.RedirectURL] is empty.
//
// # Unfinished uploads
//
// Full parts of a writer go to S3 as parts of a multipart upload. What is left
// when it is closed without Commit is stored below the prefix "!unfinished/",
// which no path of a driver can name, together with the upload's id. Writer
// with append takes both up again, in this process or a later one. After a
// crash it finds the parts that had arrived; Size says how much that is. What
// nobody takes up is removed by [Driver.Sweep].
//
// docs/object-storage.md tells an operator what to set up.
package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

const name = "s3"

// Limits of the protocol.
const (
	minPart  = 5 << 20 // of every part but the last
	maxParts = 10_000
)

// Options are what New can do without. The zero Options is right.
type Options struct {
	// Log gets what has no caller: leftovers that could not be removed. Nil
	// discards.
	Log *slog.Logger
	// PartSize is how many bytes travel at once, 8 MiB by default and never
	// less than 5 MiB. A blob has at most 10,000 parts (78 GiB by default).
	PartSize int
	// CopySize is how much of an object the server copies for one request,
	// 256 MiB by default and never less than 5 MiB. Four run at once.
	CopySize int64
	// Attempts is how often a request is tried, 5 by default.
	Attempts int
	// Backoff is the longest wait before the second attempt; it doubles for
	// each further one, up to 5 s. 250 ms by default.
	Backoff time.Duration
	// Patience is how long one attempt may wait for an answer, and for the
	// next bytes of a body; a second is added for each MiB the request moves.
	// 30 s by default.
	Patience time.Duration
	// StaleAfter is the age at which New sweeps away unfinished uploads, 7
	// days by default. Negative: never.
	StaleAfter time.Duration
}

// A Driver keeps blobs in a bucket. Its methods may be called concurrently;
// two writers of one path may not.
type Driver struct {
	api    *s3.Client
	http   *http.Client
	bucket string
	prefix string // of every key: empty, or ends in a slash
	o      Options
}

var _ storagedriver.StorageDriver = (*Driver)(nil)

// New returns a driver on the bucket c names, which must exist and let us in,
// and removes what uploads left behind there long ago.
func New(ctx context.Context, c Config, o *Options) (*Driver, error) {
	p, err := c.prepare(o)
	if err != nil {
		return nil, err
	}
	d := &Driver{api: s3.New(s3.Options{}, p.settings), http: p.http, bucket: c.Bucket, o: p.o}
	if c.Prefix != "" {
		d.prefix = c.Prefix + "/"
	}
	if err := d.reach(ctx, c); err != nil {
		d.Close()
		return nil, err
	}
	if d.o.StaleAfter > 0 {
		if _, err := d.Sweep(ctx, d.o.StaleAfter); err != nil {
			d.o.Log.WarnContext(ctx, "sweeping unfinished uploads", "bucket", d.bucket, "error", err)
		}
	}
	return d, nil
}

func (o *Options) filled() (Options, error) {
	f := Options{}
	if o != nil {
		f = *o
	}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	orDefault(&f.PartSize, 8<<20)
	orDefault(&f.CopySize, 256<<20)
	orDefault(&f.Attempts, 5)
	orDefault(&f.Backoff, 250*time.Millisecond)
	orDefault(&f.Patience, 30*time.Second)
	orDefault(&f.StaleAfter, 7*24*time.Hour)
	switch {
	case f.PartSize < minPart || f.CopySize < minPart:
		return f, fmt.Errorf("parts of %d and copies of %d bytes: S3 accepts none below %d", f.PartSize, f.CopySize, minPart)
	case f.Attempts < 0 || f.Backoff < 0 || f.Patience < 0:
		return f, errors.New("attempts, backoff and patience cannot be negative")
	}
	return f, nil
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// reach asks for the bucket, so that a wrong configuration ends the start and
// not the first upload.
func (d *Driver) reach(ctx context.Context, c Config) error {
	_, err := d.api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &d.bucket, Prefix: &d.prefix, MaxKeys: aws.Int32(1),
	})
	if err == nil {
		return nil
	}
	return fmt.Errorf("reaching bucket %q in region %q at %s: %w%s", c.Bucket, c.Region, c.Endpoint, err, hint(err))
}

// Close gives up idle connections. Calls under way are not disturbed.
func (d *Driver) Close() { d.http.CloseIdleConnections() }

// Name returns "s3".
func (d *Driver) Name() string { return name }

// RedirectURL returns no address: a signed one would be a key to the blob for
// whoever holds it, past the gate and its journal.
func (d *Driver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

// key returns the object's name for path.
func (d *Driver) key(path string) string { return d.prefix + path[1:] }

// under returns the prefix of the names of all objects below path.
func (d *Driver) under(path string) string {
	if path == "/" {
		return d.prefix
	}
	return d.key(path) + "/"
}

// path returns the path whose object has this key. Keys of other origin, and
// our own unfinished ones, have none.
func (d *Driver) path(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, d.prefix)
	path := "/" + rest
	return path, ok && goodPath(path)
}

func goodPath(path string) bool {
	if !storagedriver.PathRegexp.MatchString(path) {
		return false
	}
	// S3 takes dots for names, proxies on the way take them for directions.
	return !strings.Contains(path+"/", "/./") && !strings.Contains(path+"/", "/../")
}

func checkPath(path string) error {
	if !goodPath(path) {
		return storagedriver.InvalidPathError{Path: path, DriverName: name}
	}
	return nil
}
