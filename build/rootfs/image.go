package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content/oci"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// What Docker calls the same things.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

const maxMetadata = 4 << 20

// An image is what a manifest and its configuration say.
type image struct {
	digest attest.Digest
	config ocispec.Image
	layers []ocispec.Descriptor
}

// key names the tree that the layers make, and how it is made of them.
func (im *image) key() string {
	var b bytes.Buffer
	b.WriteString("patchfit root 1\n")
	for i, l := range im.layers {
		fmt.Fprintf(&b, "%s %s %s\n", l.MediaType, l.Digest, im.config.RootFS.DiffIDs[i])
	}
	return attest.DigestOf(b.Bytes()).Hex()
}

// resolve reads a manifest, through an index where one is in front of it.
func (c *Cache) resolve(ctx context.Context, from Fetcher, d ocispec.Descriptor) (*image, error) {
	switch d.MediaType {
	case ocispec.MediaTypeImageManifest, dockerManifest:
		return c.manifest(ctx, from, d)
	case ocispec.MediaTypeImageIndex, dockerIndex:
	default:
		return nil, fmt.Errorf("%q is no image", d.MediaType)
	}
	var index ocispec.Index
	if err := fetchJSON(ctx, from, d, &index); err != nil {
		return nil, err
	}
	for _, m := range index.Manifests {
		if m.Platform == nil || m.Platform.OS != "linux" || m.Platform.Architecture != c.o.Architecture {
			continue
		}
		if m.MediaType != ocispec.MediaTypeImageManifest && m.MediaType != dockerManifest {
			return nil, fmt.Errorf("%q in an index is no image", m.MediaType)
		}
		return c.manifest(ctx, from, m)
	}
	return nil, fmt.Errorf("it has no manifest for linux/%s", c.o.Architecture)
}

func (c *Cache) manifest(ctx context.Context, from Fetcher, d ocispec.Descriptor) (*image, error) {
	digest, err := attest.ParseDigest(string(d.Digest))
	if err != nil {
		return nil, err
	}
	im := &image{digest: digest}
	var m ocispec.Manifest
	if err := fetchJSON(ctx, from, d, &m); err != nil {
		return nil, err
	}
	if t := m.Config.MediaType; t != ocispec.MediaTypeImageConfig && t != dockerConfig {
		return nil, fmt.Errorf("its configuration is %q: it is no image to run builds in", t)
	}
	if err := fetchJSON(ctx, from, m.Config, &im.config); err != nil {
		return nil, err
	}
	im.layers = m.Layers
	if n := len(im.layers); n == 0 || n > c.o.Limits.Layers {
		return nil, fmt.Errorf("it has %d layers; want 1 to %d", n, c.o.Limits.Layers)
	}
	if n := len(im.config.RootFS.DiffIDs); n != len(im.layers) {
		return nil, fmt.Errorf("its configuration names %d layers, its manifest %d", n, len(im.layers))
	}
	if a := im.config.Architecture; a != c.o.Architecture || im.config.OS != "linux" {
		return nil, fmt.Errorf("it is for %s/%s, not for linux/%s", im.config.OS, a, c.o.Architecture)
	}
	return im, im.check()
}

// check asks for words of one form, before a root is looked for by them: what
// could be read as words of other layers would be given theirs.
func (im *image) check() error {
	for i, l := range im.layers {
		if err := known(l.MediaType); err != nil {
			return fmt.Errorf("layer %.100q: %w", l.Digest, err)
		}
		for _, d := range []digest.Digest{l.Digest, im.config.RootFS.DiffIDs[i]} {
			if _, err := attest.ParseDigest(string(d)); err != nil {
				return fmt.Errorf("layer %.100q: %w", l.Digest, err)
			}
		}
	}
	return nil
}

// fetchJSON reads a small blob, verified.
func fetchJSON(ctx context.Context, from Fetcher, d ocispec.Descriptor, v any) error {
	if d.Size < 0 || d.Size > maxMetadata {
		return fmt.Errorf("%s of %d bytes exceeds the limit of %d", d.Digest, d.Size, maxMetadata)
	}
	r, err := fetch(ctx, from, d)
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := strictjson.UnmarshalForeign(b, maxMetadata, v); err != nil {
		return fmt.Errorf("%s: %w", d.Digest, err)
	}
	return nil
}

// A blob is content that has to be what its descriptor says: its end is an
// error where it is not.
type blob struct {
	io.ReadCloser
	want attest.Digest
	size int64
	read int64
	sum  hash.Hash
}

func fetch(ctx context.Context, from Fetcher, d ocispec.Descriptor) (*blob, error) {
	want, err := attest.ParseDigest(string(d.Digest))
	if err != nil {
		return nil, err
	}
	r, err := from.Fetch(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", want, err)
	}
	return &blob{ReadCloser: r, want: want, size: d.Size, sum: sha256.New()}, nil
}

func (b *blob) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.sum.Write(p[:n])
	if b.read > b.size || err == io.EOF && b.read != b.size {
		return n, fmt.Errorf("%s is not the %d bytes its descriptor says", b.want, b.size)
	}
	if err == io.EOF && attest.DigestFromSum(b.sum.Sum(nil)) != b.want {
		return n, fmt.Errorf("%s has other content than its digest says", b.want)
	}
	return n, err
}

// Layout opens an OCI image layout and returns what its index names.
func Layout(dir string) (Fetcher, []ocispec.Descriptor, error) {
	b, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return nil, nil, fmt.Errorf("%s is no OCI image layout: %w", dir, errors.Unwrap(err))
	}
	var index ocispec.Index
	if err := strictjson.UnmarshalForeign(b, maxMetadata, &index); err != nil {
		return nil, nil, fmt.Errorf("%s: index.json: %w", dir, err)
	}
	return oci.NewStorageFromFS(os.DirFS(dir)), index.Manifests, nil
}
