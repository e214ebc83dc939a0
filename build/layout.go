package build

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

const maxManifest = 4 << 20

// A Layout is a builder image: an OCI image layout directory with one image
// for one platform (OCI image spec, Image Layout).
type Layout struct {
	Dir       string
	Digest    attest.Digest // of the manifest
	Manifest  []byte
	MediaType string // of the manifest
	Config    ocispec.Descriptor
	Layers    []ocispec.Descriptor
}

// OpenLayout reads the layout in dir: its index, its one manifest. Blobs are
// verified when they are read.
func OpenLayout(dir string) (*Layout, error) {
	l, err := openLayout(dir)
	if err != nil {
		return nil, fmt.Errorf("builder image %s: %w", dir, err)
	}
	return l, nil
}

func openLayout(dir string) (*Layout, error) {
	var index ocispec.Index
	b, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return nil, fmt.Errorf("not an OCI image layout: %w", plain(err))
	}
	if err := strictjson.UnmarshalForeign(b, maxManifest, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if n := len(index.Manifests); n != 1 {
		return nil, fmt.Errorf("holds %d manifests; a builder image is one manifest for one platform", n)
	}
	l := &Layout{Dir: dir, MediaType: index.Manifests[0].MediaType}
	if l.MediaType != ocispec.MediaTypeImageManifest {
		return nil, fmt.Errorf("holds a %s; a builder image is one %s", l.MediaType, ocispec.MediaTypeImageManifest)
	}
	if l.Manifest, err = l.readBlob(index.Manifests[0]); err != nil {
		return nil, err
	}
	l.Digest = attest.DigestOf(l.Manifest)
	var m ocispec.Manifest
	if err := strictjson.UnmarshalForeign(l.Manifest, maxManifest, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	l.Config, l.Layers = m.Config, m.Layers
	return l, nil
}

// Architecture returns what the image is for, as its config says.
func (l *Layout) Architecture() (string, error) {
	b, err := l.readBlob(l.Config)
	if err != nil {
		return "", err
	}
	var c ocispec.Image
	if err := strictjson.UnmarshalForeign(b, maxManifest, &c); err != nil {
		return "", fmt.Errorf("config of the image: %w", err)
	}
	return c.Architecture, nil
}

// Blob opens a blob of the layout. What is read is verified: the last read
// fails where size or digest are not the descriptor's.
func (l *Layout) Blob(d ocispec.Descriptor) (io.ReadCloser, error) {
	want, err := attest.ParseDigest(string(d.Digest))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(l.Dir, ocispec.ImageBlobsDir, "sha256", want.Hex()))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", want, plain(err))
	}
	return &checkedFile{File: f, want: want, size: d.Size, sum: sha256.New()}, nil
}

// readBlob returns a whole small blob.
func (l *Layout) readBlob(d ocispec.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > maxManifest {
		return nil, fmt.Errorf("blob %s of %d bytes exceeds the limit of %d", d.Digest, d.Size, maxManifest)
	}
	r, err := l.Blob(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// A checkedFile is a file that has to have a size and a digest.
type checkedFile struct {
	*os.File
	want attest.Digest
	size int64
	read int64
	sum  hash.Hash
}

func (f *checkedFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.read += int64(n)
	f.sum.Write(b[:n])
	if f.read > f.size || err == io.EOF && f.read != f.size {
		return n, fmt.Errorf("blob %s is not the %d bytes its descriptor says", f.want, f.size)
	}
	if err == io.EOF && attest.DigestFromSum(f.sum.Sum(nil)) != f.want {
		return n, fmt.Errorf("blob %s has other content than its digest says", f.want)
	}
	return n, err
}

// WriteTo is not promoted from the file: it would go around Read.
func (f *checkedFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{f})
}
