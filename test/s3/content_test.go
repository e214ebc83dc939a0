package s3

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/content/object"
)

// TestContent: the registry's room for blobs, on a bucket: what comes in, in one
// request or several, is there under its digest, hashed, and goes away again.
func TestContent(t *testing.T) {
	bucket := newBucket(t)
	b, err := object.Open(t.Context(), open(t, server, bucket, nil))
	if err != nil {
		t.Fatal(err)
	}
	s := content.New(b, nil)
	large := bytes.Repeat([]byte("bucket "), 3<<20) // 21 MiB: three parts
	for _, pieces := range [][][]byte{{nil}, {[]byte("one")}, {[]byte("one "), []byte("two")}, {large}, {large[:9<<20], large[9<<20:], []byte("end")}} {
		u, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			if _, err := u.ReadFrom(bytes.NewReader(p)); err != nil {
				t.Fatal(err)
			}
			if err := u.Rest(); err != nil {
				t.Fatal(err)
			}
		}
		want := bytes.Join(pieces, nil)
		d := attest.DigestOf(want)
		if err := u.Commit(t.Context(), d); err != nil {
			t.Fatalf("%d bytes: %v", len(want), err)
		}
		for range 2 {
			got, err := s.Open(t.Context(), d)
			if err != nil {
				t.Fatalf("%d bytes: %v", len(want), err)
			}
			all, err := io.ReadAll(got)
			if err != nil || !bytes.Equal(all, want) {
				t.Errorf("%d bytes, want %d: %v", len(all), len(want), err)
			}
			got.Close()
		}
		if err := s.Remove(t.Context(), d); err != nil {
			t.Error(err)
		}
		if _, err := s.Open(t.Context(), d); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("after it was removed: %v", err)
		}
	}
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(bytes.NewReader(large)); err != nil {
		t.Fatal(err)
	}
	if err := u.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
	if left := keys(t, bucket); len(left) != 0 {
		t.Errorf("left in the bucket: %v", left)
	}
}

// TestForgedBlob: bytes that somebody puts under a blob's name in the bucket,
// as many as there were, do not go out; not even after the right ones did.
func TestForgedBlob(t *testing.T) {
	bucket := newBucket(t)
	b, err := object.Open(t.Context(), open(t, server, bucket, nil))
	must(t, err)
	s := content.New(b, &content.Options{LookEvery: time.Nanosecond}) // else it is believed for a second
	for _, size := range []int64{9, 1 << 20, 9 << 20} {
		want := bytesOf(4, size)
		d := attest.DigestOf(want)
		u, err := s.Begin(t.Context())
		must(t, err)
		_, err = u.ReadFrom(bytes.NewReader(want))
		must(t, err)
		must(t, u.Commit(t.Context(), d))
		blob, err := s.Open(t.Context(), d)
		must(t, err)
		got, err := io.ReadAll(blob)
		must(t, errors.Join(err, blob.Close()))
		if !bytes.Equal(got, want) {
			t.Fatalf("read %d other bytes", len(got))
		}
		key, forged := "pre/fix/blobs/sha256/"+d.Hex()[:2]+"/"+d.Hex(), strings.Repeat("x", int(size))
		_, err = raw().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(forged)})
		must(t, err)
		if _, err := s.Open(t.Context(), d); !errors.Is(err, content.ErrDamaged) {
			t.Errorf("%d forged bytes: %v", size, err)
		}
	}
}

// TestContentAfterRestart leaves nothing of uploads a dead process began.
func TestContentAfterRestart(t *testing.T) {
	bucket := newBucket(t)
	d := open(t, server, bucket, quick())
	b, err := object.Open(t.Context(), d)
	must(t, err)
	u, err := content.New(b, nil).Begin(t.Context())
	must(t, err)
	_, err = u.ReadFrom(bytes.NewReader(bytesOf(4, 13<<20)))
	must(t, errors.Join(err, u.Rest()))
	if len(openUploads(t, bucket)) != 1 {
		t.Fatal("no upload is open; the test means nothing")
	}
	_, err = object.Open(t.Context(), open(t, server, bucket, quick()))
	must(t, err)
	if left := append(keys(t, bucket), openUploads(t, bucket)...); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
