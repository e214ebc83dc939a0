// Package contenttest puts bytes among the blobs of a server, for tests of what
// looks after them.
package contenttest

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/content"
)

// Put keeps bytes, which are in no repository by that.
func Put(t testing.TB, s *content.Store, b []byte) attest.Digest {
	t.Helper()
	d := attest.DigestOf(b)
	u, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// File is where the bytes of a digest are on the disk below root.
func File(root string, d attest.Digest) string {
	return filepath.Join(root, "blobs/sha256", d.Hex()[:2], d.Hex())
}
