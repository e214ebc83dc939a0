// Package s3 runs the S3 driver against a real S3 server on this machine:
// distribution's own contract suite, large uploads, and every request broken
// in every way a network knows. It is a module of its own so that neither the
// server nor the suite is part of the product.
package s3

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/patchfit/patchfit/internal/daemontest"
	"github.com/patchfit/patchfit/registry/content/s3"
)

// server is the address of the S3 server, which keeps its buckets on disk.
var server string

const (
	access = "patchfit-test"
	secret = "not-much-of-a-secret"
	region = "us-east-1"
)

func TestMain(m *testing.M) {
	runtime.LockOSThread() // the server dies with the thread that started it
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Most of these tests wait for deadlines, not for the processor.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "patchfit-s3-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("AWS_ACCESS_KEY_ID", access)
	os.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	d, err := daemontest.Bucket(dir, access, secret)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer d.Stop()
	server = "http://" + d.Addr
	return m.Run()
}

// raw is the same server without our driver, to look behind its back.
func raw() *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: &server, Region: region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
}

// newBucket makes a bucket and removes it with all that is in it.
func newBucket(t *testing.T) string {
	t.Helper()
	bucket := "b-" + strings.ToLower(rand.Text())
	if _, err := raw().CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { empty(t, bucket) })
	return bucket
}

func empty(t *testing.T, bucket string) {
	ctx, c := context.Background(), raw()
	for _, u := range openUploads(t, bucket) {
		key, id, _ := strings.Cut(u, " ")
		if _, err := c.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: &id}); err != nil {
			t.Error(err)
		}
	}
	for _, key := range keys(t, bucket) {
		if _, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.DeleteBucket(ctx, &awss3.DeleteBucketInput{Bucket: &bucket}); err != nil {
		t.Error(err)
	}
}

// keys lists every object of the bucket, ours and others.
func keys(t *testing.T, bucket string) []string {
	t.Helper()
	var all []string
	for p := awss3.NewListObjectsV2Paginator(raw(), &awss3.ListObjectsV2Input{Bucket: &bucket}); p.HasMorePages(); {
		page, err := p.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			all = append(all, *o.Key)
		}
	}
	return all
}

// openUploads lists the multipart uploads nobody ended, as "key id".
func openUploads(t *testing.T, bucket string) []string {
	t.Helper()
	var all []string
	out, err := raw().ListMultipartUploads(context.Background(), &awss3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToBool(out.IsTruncated) {
		t.Fatal("more open uploads than one page")
	}
	for _, u := range out.Uploads {
		all = append(all, *u.Key+" "+*u.UploadId)
	}
	return all
}

// quick are options for tests: the smallest parts, and no long waits.
func quick() *s3.Options {
	return &s3.Options{PartSize: 5 << 20, CopySize: 5 << 20, Backoff: time.Millisecond}
}

// open returns a driver on a bucket through an address, and closes it.
func open(t *testing.T, address, bucket string, o *s3.Options) *s3.Driver {
	t.Helper()
	d, err := s3.New(t.Context(), s3.Config{Endpoint: address, Region: region, Bucket: bucket, Prefix: "pre/fix"}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// settles fails when, a while after f, more goroutines run than before it.
func settles(t *testing.T, f func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	f()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}
