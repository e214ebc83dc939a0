package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/patchfit/patchfit/registry/content/s3"
)

// A fault is one way in which a request goes wrong on its way.
type fault int

const (
	none     fault = iota
	internal       // 500 instead of the server's answer
	slowDown       // 503, as S3 asks for patience
	hangUp         // the connection ends before the server hears of it
	noAnswer       // the server does it, and the connection ends before the answer
	cutShort       // the answer's body ends early
	silence        // no answer at all
)

var faults = map[string]fault{
	"internal error": internal, "slow down": slowDown, "hang up": hangUp,
	"no answer": noAnswer, "cut short": cutShort, "silence": silence,
}

// operations are the requests the driver makes, in S3's words.
var operations = []string{
	"ListObjectsV2", "PutObject", "GetObject", "HeadObject", "DeleteObject", "CopyObject",
	"CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload",
	"AbortMultipartUpload", "ListParts", "ListMultipartUploads",
}

// operation names the request r.
func operation(r *http.Request) string {
	q := r.URL.Query()
	part, copied := q.Has("partNumber"), r.Header.Get("X-Amz-Copy-Source") != ""
	switch method := r.Method; {
	case method == http.MethodHead:
		return "HeadObject"
	case method == http.MethodGet && q.Has("list-type"):
		return "ListObjectsV2"
	case method == http.MethodGet && q.Has("uploads"):
		return "ListMultipartUploads"
	case method == http.MethodGet && q.Has("uploadId"):
		return "ListParts"
	case method == http.MethodGet:
		return "GetObject"
	case method == http.MethodPut && part && copied:
		return "UploadPartCopy"
	case method == http.MethodPut && part:
		return "UploadPart"
	case method == http.MethodPut && copied:
		return "CopyObject"
	case method == http.MethodPut:
		return "PutObject"
	case method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case method == http.MethodPost:
		return "CompleteMultipartUpload"
	case q.Has("uploadId"):
		return "AbortMultipartUpload"
	}
	return "DeleteObject"
}

// A road leads to the server and breaks where it is told to.
type road struct {
	*httptest.Server
	plan atomic.Pointer[func(op string) fault]
	hits atomic.Int64 // faults so far
}

type faultKey struct{}

// newRoad returns a proxy in front of the server.
func newRoad(t *testing.T) *road {
	t.Helper()
	to, err := url.Parse(server)
	must(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is part of the signature
		},
		ModifyResponse: spoil,
		ErrorLog:       log.New(io.Discard, "", 0),
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	r := &road{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serve(proxy, w, req) }))
	r.breaks(nil)
	t.Cleanup(func() { r.Close(); transport.CloseIdleConnections() })
	return r
}

// breaks makes requests go wrong by plan, from now on; nil mends the road.
func (r *road) breaks(plan func(op string) fault) {
	if plan == nil {
		plan = func(string) fault { return none }
	}
	r.plan.Store(&plan)
}

func (r *road) serve(proxy http.Handler, w http.ResponseWriter, req *http.Request) {
	f := (*r.plan.Load())(operation(req))
	if f != none {
		r.hits.Add(1)
	}
	switch f {
	case internal, slowDown:
		_, _ = io.Copy(io.Discard, req.Body)
		refuse(w, req, f)
	case hangUp:
		panic(http.ErrAbortHandler)
	case silence:
		_, _ = io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
	default:
		proxy.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), faultKey{}, f)))
	}
}

func refuse(w http.ResponseWriter, req *http.Request, f fault) {
	status, code := http.StatusInternalServerError, "InternalError"
	if f == slowDown {
		status, code = http.StatusServiceUnavailable, "SlowDown"
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>injected</Message></Error>", code)
	}
}

// spoil is what happens to an answer on its way back.
func spoil(resp *http.Response) error {
	switch f, _ := resp.Request.Context().Value(faultKey{}).(fault); {
	case f == noAnswer:
		return errors.New("the answer is lost")
	case f == cutShort && resp.ContentLength > 0 && resp.Request.Method != http.MethodHead:
		resp.Body = &short{resp.Body, resp.ContentLength / 2}
	case f == cutShort:
		return errors.New("the answer is lost")
	}
	return nil
}

// short is a body whose connection ends after some bytes.
type short struct {
	io.ReadCloser
	left int64
}

func (s *short) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

// fewAttempts are options for roads that break. Patience is short only where a
// test needs it to end: a busy machine is no silent one.
func fewAttempts(f fault) *s3.Options {
	o := quick()
	o.Attempts = 3
	if f == silence {
		o.Patience = 1500 * time.Millisecond
	}
	return o
}

// TestOneFault breaks the first request of each kind in each way. Nobody who
// uses the driver sees anything of it.
func TestOneFault(t *testing.T) {
	for how, f := range faults {
		for _, op := range operations {
			t.Run(how+"/"+op, func(t *testing.T) {
				t.Parallel()
				r, bucket := newRoad(t), newBucket(t)
				d := open(t, r.URL, bucket, fewAttempts(f))
				var once atomic.Bool
				r.breaks(func(seen string) fault {
					if seen == op && once.CompareAndSwap(false, true) {
						return f
					}
					return none
				})
				if err := story(t, d); err != nil {
					t.Error(err)
				}
				if r.hits.Load() != 1 {
					t.Errorf("%s happened %d times; the test means nothing", op, r.hits.Load())
				}
				// An upload begun without our hearing of it is for Sweep to find.
				_, err := d.Sweep(t.Context(), -time.Hour)
				must(t, err)
				if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			})
		}
	}
}

// TestLastingFault breaks every request of one kind. Whatever needs it says
// so; what does not need it is right; and when the road is mended, everything
// is, with the same driver.
func TestLastingFault(t *testing.T) {
	for how, f := range faults {
		for _, op := range operations {
			t.Run(how+"/"+op, func(t *testing.T) {
				t.Parallel()
				r, bucket := newRoad(t), newBucket(t)
				d := open(t, r.URL, bucket, fewAttempts(f))
				r.breaks(func(seen string) fault {
					if seen == op {
						return f
					}
					return none
				})
				if err := story(t, d); err == nil && f != noAnswer && f != cutShort {
					t.Errorf("nothing failed, though no %s came through", op)
				}
				if r.hits.Load() == 0 {
					t.Errorf("%s never happened; the test means nothing", op)
				}
				r.breaks(nil)
				must(t, ignoreMissing(d.Delete(t.Context(), "/story")))
				if err := story(t, d); err != nil {
					t.Errorf("on the mended road: %v", err)
				}
			})
		}
	}
}

func ignoreMissing(err error) error {
	if isMissing(err) {
		return nil
	}
	return err
}

const (
	aPart   = 5 << 20
	aLength = 2*aPart + 999
)

// story does everything a registry does, and returns the first error. What it
// reads must be what it wrote: wrong bytes fail the test, error or not.
func story(t *testing.T, d *s3.Driver) error {
	ctx := t.Context()
	large, small := bytesOf(5, aLength), []byte("small")
	steps := []func() error{
		func() error { return upload(ctx, d, large) },
		func() error { return d.Move(ctx, "/story/up", "/story/blob") },
		func() error { return compare(t, d, "/story/blob", large) },
		func() error { return d.PutContent(ctx, "/story/small", small) },
		func() error { return d.Move(ctx, "/story/small", "/story/other") },
		func() error { return compare(t, d, "/story/other", small) },
		func() error { return listed(t, d) },
		func() error { return giveUp(ctx, d, large) },
		func() error { return giveUpBlindly(ctx, d) },
		func() error { _, err := d.Sweep(ctx, time.Hour); return err },
		func() error { return d.Delete(ctx, "/story") },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// upload commits in two sittings; a failed Commit leaves no object.
func upload(ctx context.Context, d *s3.Driver, b []byte) error {
	w, err := d.Writer(ctx, "/story/up", false)
	if err != nil {
		return err
	}
	_, err = w.Write(b[:aPart+5])
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	if w, err = d.Writer(ctx, "/story/up", true); err != nil {
		return err
	}
	if _, err = w.Write(b[w.Size():]); err == nil {
		err = w.Commit(ctx)
	}
	return errors.Join(err, w.Close())
}

// giveUp cancels an upload with parts.
func giveUp(ctx context.Context, d *s3.Driver, b []byte) error {
	w, err := d.Writer(ctx, "/story/never", false)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return errors.Join(err, w.Cancel(ctx))
}

// giveUpBlindly cancels one that was set aside.
func giveUpBlindly(ctx context.Context, d *s3.Driver) error {
	w, err := d.Writer(ctx, "/story/never", false)
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return d.Delete(ctx, "/story/never")
}

func compare(t *testing.T, d *s3.Driver, path string, want []byte) error {
	ctx := t.Context()
	for _, offset := range []int64{0, int64(len(want)) / 3} {
		r, err := d.Reader(ctx, path, offset)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		r.Close()
		if !bytes.HasPrefix(want[offset:], got) {
			t.Errorf("%s from %d: wrong bytes", path, offset)
		}
		if err == nil && len(got) < len(want)-int(offset) {
			t.Errorf("%s from %d: %d bytes of %d, and no error", path, offset, len(got), len(want)-int(offset))
		}
		if err != nil {
			return err
		}
	}
	got, err := d.GetContent(ctx, path)
	if err == nil && !bytes.Equal(got, want) {
		t.Errorf("%s: wrong content", path)
	}
	if err != nil {
		return err
	}
	f, err := d.Stat(ctx, path)
	if err == nil && (f.Size() != int64(len(want)) || f.IsDir()) {
		t.Errorf("%s: %d bytes, directory %v", path, f.Size(), f.IsDir())
	}
	return err
}

func listed(t *testing.T, d *s3.Driver) error {
	want := []string{"/story/blob", "/story/other"}
	all, err := d.List(t.Context(), "/story")
	if err != nil {
		return err
	}
	if !slices.Equal(all, want) {
		t.Errorf("listed %q", all)
	}
	var walked []string
	err = d.Walk(t.Context(), "/story", func(f storagedriver.FileInfo) error {
		walked = append(walked, f.Path())
		return nil
	})
	if err == nil && !slices.Equal(walked, want) {
		t.Errorf("walked %q", walked)
	}
	return err
}

// TestFailedCommit breaks the request that would make the object, for uploads
// of one request and of many, and looks behind the driver's back.
func TestFailedCommit(t *testing.T) {
	for op, size := range map[string]int64{"PutObject": 9, "CompleteMultipartUpload": aLength, "UploadPart": aPart + 9} {
		for how, f := range faults {
			t.Run(op+"/"+how, func(t *testing.T) {
				t.Parallel()
				r, bucket := newRoad(t), newBucket(t)
				d := open(t, r.URL, bucket, fewAttempts(f))
				w := begin(t, d, "/uploads/x", false)
				want := bytesOf(7, size)
				write(t, w, want)
				if op == "UploadPart" { // of the parts, only the last is Commit's
					must(t, w.Close())
					w = begin(t, d, "/uploads/x", true)
				}
				r.breaks(func(seen string) fault {
					if seen == op {
						return f
					}
					return none
				})
				err := w.Commit(t.Context())
				there := slices.Contains(keys(t, bucket), "pre/fix/uploads/x")
				if (err == nil) != there {
					t.Fatalf("commit said %v; an object is there: %v", err, there)
				}
				r.breaks(nil)
				if err != nil {
					must(t, w.Commit(t.Context())) // as often as one likes
				}
				must(t, w.Close())
				holds(t, d, "/uploads/x", want)
			})
		}
	}
}

// TestMoreAfterFailedCommit goes on where a Commit failed with all parts sent,
// the short last one too.
func TestMoreAfterFailedCommit(t *testing.T) {
	r, bucket := newRoad(t), newBucket(t)
	d := open(t, r.URL, bucket, fewAttempts(none))
	want := bytesOf(7, 3*aPart)
	w := begin(t, d, "/uploads/x", false)
	write(t, w, want[:aLength])
	r.breaks(func(op string) fault {
		if op == "CompleteMultipartUpload" {
			return internal
		}
		return none
	})
	if err := w.Commit(t.Context()); err == nil {
		t.Fatal("committed through a broken road")
	}
	r.breaks(nil)
	must(t, w.Close())
	w = begin(t, d, "/uploads/x", true)
	if w.Size() != aLength {
		t.Fatalf("goes on at %d, want %d", w.Size(), aLength)
	}
	write(t, w, want[aLength:])
	must(t, w.Commit(t.Context()))
	holds(t, d, "/uploads/x", want)
}

// TestPromisedBytesOutliveLostPart fails the first part of an upload whose
// first bytes were set aside before: they are still there.
func TestPromisedBytesOutliveLostPart(t *testing.T) {
	r, bucket := newRoad(t), newBucket(t)
	d := open(t, r.URL, bucket, fewAttempts(none))
	want := bytesOf(7, aLength)
	w := begin(t, d, "/uploads/x", false)
	write(t, w, want[:1000])
	must(t, w.Close())
	w = begin(t, d, "/uploads/x", true)
	r.breaks(func(op string) fault {
		if op == "UploadPart" {
			return internal
		}
		return none
	})
	_, err := w.Write(want[1000:])
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("wrote on after a lost part")
	}
	if err = errors.Join(err, w.Close()); err == nil {
		t.Fatal("wrote through a broken road")
	}
	r.breaks(nil)
	w = begin(t, d, "/uploads/x", true)
	if w.Size() != 1000 {
		t.Fatalf("goes on at %d, want the 1000 bytes that were set aside", w.Size())
	}
	write(t, w, want[1000:])
	must(t, w.Commit(t.Context()))
	holds(t, d, "/uploads/x", want)
}

// TestLostCommit loses every answer from the commit on: nobody can know whether
// the object is there. It is, and Cancel, on the mended road, removes it.
func TestLostCommit(t *testing.T) {
	for name, size := range map[string]int64{"small": 9, "large": aLength} {
		t.Run(name, func(t *testing.T) {
			r, bucket := newRoad(t), newBucket(t)
			d := open(t, r.URL, bucket, fewAttempts(none))
			w := begin(t, d, "/uploads/x", false)
			write(t, w, bytesOf(7, size))
			r.breaks(func(string) fault { return noAnswer })
			if err := w.Commit(t.Context()); err == nil {
				t.Fatal("committed without an answer")
			}
			r.breaks(nil)
			must(t, w.Cancel(t.Context()))
			if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestCancelLeavesOthersObject does not remove what somebody else wrote.
func TestCancelLeavesOthersObject(t *testing.T) {
	r, bucket := newRoad(t), newBucket(t)
	d := open(t, r.URL, bucket, fewAttempts(none))
	must(t, d.PutContent(t.Context(), "/uploads/x", []byte("theirs")))
	w := begin(t, d, "/uploads/x", false)
	write(t, w, []byte("mine!!"))
	r.breaks(func(op string) fault {
		if op == "PutObject" {
			return hangUp
		}
		return none
	})
	if err := w.Commit(t.Context()); err == nil {
		t.Error("committed through a broken road")
	}
	must(t, w.Cancel(t.Context()))
	holds(t, d, "/uploads/x", []byte("theirs"))
}

// TestCutWhileReading breaks the body of every answer, until the driver has had
// enough, and not before: as long as there is progress it goes on.
func TestCutWhileReading(t *testing.T) {
	r := newRoad(t)
	d := open(t, r.URL, newBucket(t), fewAttempts(none))
	want := bytesOf(8, 64<<20)
	must(t, d.PutContent(t.Context(), "/blobs/a", want))
	r.breaks(func(string) fault { return cutShort })
	rd, err := d.Reader(t.Context(), "/blobs/a", 0)
	must(t, err)
	got, err := io.ReadAll(rd)
	must(t, rd.Close())
	if err == nil || isMissing(err) {
		t.Errorf("%d bytes and %v; the last could not be had", len(got), err)
	}
	if !bytes.HasPrefix(want, got) || len(got) < len(want)*7/8 {
		t.Errorf("%d of %d bytes, the right ones: %v", len(got), len(want), bytes.HasPrefix(want, got))
	}
}

// TestChangedWhileReading never mixes two versions.
func TestChangedWhileReading(t *testing.T) {
	r := newRoad(t)
	d := open(t, r.URL, newBucket(t), fewAttempts(none))
	old := bytes.Repeat([]byte("o"), 8<<20)
	must(t, d.PutContent(t.Context(), "/blobs/a", old))
	r.breaks(func(string) fault { return cutShort })
	rd, err := d.Reader(t.Context(), "/blobs/a", 0)
	must(t, err)
	r.breaks(nil)
	must(t, d.PutContent(t.Context(), "/blobs/a", bytes.Repeat([]byte("n"), 8<<20)))
	got, err := io.ReadAll(rd)
	if err == nil || !strings.Contains(err.Error(), "changed while it was read") || bytes.Contains(got, []byte("n")) {
		t.Errorf("read %d bytes, of the new version %d: %v", len(got), bytes.Count(got, []byte("n")), err)
	}
}

// TestFaultsLeakNothing runs through broken requests of every kind.
func TestFaultsLeakNothing(t *testing.T) {
	bucket := newBucket(t)
	settles(t, func() {
		for _, f := range faults {
			t.Run(fmt.Sprint(f), func(t *testing.T) {
				r := newRoad(t)
				d := open(t, r.URL, bucket, fewAttempts(f))
				var n atomic.Int64
				r.breaks(func(string) fault {
					if n.Add(1)%3 == 0 && f != silence {
						return f
					}
					return none
				})
				_ = story(t, d)
				r.breaks(nil)
				must(t, ignoreMissing(d.Delete(t.Context(), "/story")))
				r.breaks(func(string) fault { return f })
				defer r.breaks(nil)
				if err := d.PutContent(t.Context(), "/elsewhere/a", nil); err == nil {
					t.Error("wrote through a broken road")
				}
			})
		}
	})
}
