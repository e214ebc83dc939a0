package s3

import (
	"context"
	"errors"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"golang.org/x/sync/errgroup"
)

// removals is how many deletes run at once. Bulk deletes would save requests
// and cost us the servers that want another checksum on them.
const removals = 8

func info(path string, size int64, at *time.Time, etag string) fileInfo {
	f := fileInfo{etag: etag}
	f.FileInfoFields = storagedriver.FileInfoFields{Path: path, Size: size}
	if at != nil {
		f.FileInfoFields.ModTime = *at
	}
	return f
}

// objects returns all objects whose keys begin with prefix and come after a
// key, in the order of their keys. An error is the last of the sequence.
func (d *Driver) objects(ctx context.Context, prefix, after string) iter.Seq2[types.Object, error] {
	in := &s3.ListObjectsV2Input{Bucket: &d.bucket, Prefix: &prefix}
	if after != "" {
		in.StartAfter = &after
	}
	return func(yield func(types.Object, error) bool) {
		for page, err := range d.pages(ctx, in) {
			if err != nil {
				yield(types.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				if o.Key != nil && !yield(o, nil) {
					return
				}
			}
		}
	}
}

// pages asks for page after page. A page that claims more without saying where
// it goes on is an error: a listing cut short looks like blobs that are gone.
func (d *Driver) pages(ctx context.Context, in *s3.ListObjectsV2Input) iter.Seq2[*s3.ListObjectsV2Output, error] {
	return func(yield func(*s3.ListObjectsV2Output, error) bool) {
		for {
			page, err := d.api.ListObjectsV2(ctx, in)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(page, nil) || page.IsTruncated == nil || !*page.IsTruncated {
				return
			}
			if page.NextContinuationToken == nil || *page.NextContinuationToken == "" {
				yield(nil, errors.New("the server cut the listing short"))
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

// List returns the paths directly below dir, in no promised order.
func (d *Driver) List(ctx context.Context, dir string) ([]string, error) {
	if dir != "/" {
		if err := checkPath(dir); err != nil {
			return nil, err
		}
	}
	prefix, slash := d.under(dir), "/"
	var all []string
	for page, err := range d.pages(ctx, &s3.ListObjectsV2Input{Bucket: &d.bucket, Prefix: &prefix, Delimiter: &slash}) {
		if err != nil {
			return nil, failed("listing", dir, err)
		}
		all = append(all, d.children(page)...)
	}
	if len(all) == 0 && dir != "/" {
		return nil, missing(dir)
	}
	return all, nil
}

func (d *Driver) children(page *s3.ListObjectsV2Output) []string {
	var all []string
	for _, o := range page.Contents {
		if o.Key == nil {
			continue
		}
		if p, ok := d.path(*o.Key); ok {
			all = append(all, p)
		}
	}
	for _, c := range page.CommonPrefixes {
		if c.Prefix == nil {
			continue
		}
		if p, ok := d.path(strings.TrimSuffix(*c.Prefix, "/")); ok {
			all = append(all, p)
		}
	}
	return all
}

// Walk calls f for every object below dir and, before its first object, for
// every directory, in the order of the keys. It makes one request for a
// thousand objects.
func (d *Driver) Walk(ctx context.Context, dir string, f storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	if dir != "/" {
		if err := checkPath(dir); err != nil {
			return err
		}
	}
	var o storagedriver.WalkOptions
	for _, option := range options {
		option(&o)
	}
	w := walk{f: f, at: dir}
	after := ""
	if goodPath(o.StartAfterHint) {
		after = d.key(o.StartAfterHint)
		if parent := path.Dir(o.StartAfterHint); within(parent, dir) {
			w.at = parent // its directories were shown by an earlier walk
		}
	}
	for object, err := range d.objects(ctx, d.under(dir), after) {
		if err != nil {
			return failed("walking", dir, err)
		}
		p, ok := d.path(*object.Key)
		if !ok || object.Size == nil {
			continue
		}
		if more, err := w.visit(info(p, *object.Size, object.LastModified, deref(object.ETag))); err != nil || !more {
			return err
		}
	}
	if !w.any && dir != "/" && after == "" {
		return missing(dir)
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// within reports whether p is dir or below it.
func within(p, dir string) bool { return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/") }

// A walk knows where it is: the directory last shown, and one to leave out.
type walk struct {
	f    storagedriver.WalkFn
	at   string
	skip string
	any  bool
}

func (w *walk) visit(f fileInfo) (more bool, err error) {
	w.any = true
	if w.skip != "" && within(f.Path(), w.skip) {
		return true, nil
	}
	if more, err := w.enter(path.Dir(f.Path())); !more || err != nil {
		return more, err
	}
	if w.skip != "" && within(f.Path(), w.skip) {
		return true, nil
	}
	return w.show(f)
}

// enter shows the directories from where the walk is down to dir.
func (w *walk) enter(dir string) (more bool, err error) {
	for w.at != "/" && !within(dir, w.at) {
		w.at = path.Dir(w.at)
	}
	for w.at != dir {
		rest := strings.TrimPrefix(strings.TrimPrefix(dir, w.at), "/")
		first, _, _ := strings.Cut(rest, "/")
		w.at = path.Join(w.at, first)
		f := fileInfo{}
		f.FileInfoFields = storagedriver.FileInfoFields{Path: w.at, IsDir: true}
		if more, err := w.show(f); !more || err != nil || w.skip == w.at {
			return more, err
		}
	}
	return true, nil
}

func (w *walk) show(f fileInfo) (more bool, err error) {
	switch err := w.f(f); {
	case err == nil:
		return true, nil
	case errors.Is(err, storagedriver.ErrSkipDir):
		if f.IsDir() {
			w.skip = f.Path()
		}
		return true, nil
	case errors.Is(err, storagedriver.ErrFilledBuffer):
		return false, nil
	default:
		return false, err
	}
}

// Delete removes the object at path, all below it, and uploads to any of them
// that were not finished.
func (d *Driver) Delete(ctx context.Context, path string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	n, err := d.each(ctx, d.key(path), d.remove)
	if err != nil {
		return failed("deleting", path, err)
	}
	m, err := d.each(ctx, d.unfinished(path), d.discard)
	if err != nil {
		return failed("deleting", path, err)
	}
	if n+m == 0 {
		return missing(path)
	}
	return nil
}

// each calls f for key, if there is such an object, and for all below it; it
// returns for how many.
func (d *Driver) each(ctx context.Context, key string, f func(context.Context, string) error) (int, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(removals)
	n := 0
	var listing error
	for o, err := range d.objects(gctx, key, "") {
		if err != nil {
			listing = err
			break
		}
		if k := *o.Key; k == key || strings.HasPrefix(k, key+"/") {
			n++
			g.Go(func() error { return f(gctx, k) })
		}
	}
	if err := g.Wait(); err != nil {
		return n, err // the cause, where the listing was only cancelled
	}
	return n, listing
}
