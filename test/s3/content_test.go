package s3

import (
	"bytes"
	"errors"
	"io"
	"testing"

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
