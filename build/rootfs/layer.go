package rootfs

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
)

// maxWindow is the most memory a zstd layer may ask for: what its tools ask for
// at their highest level.
const maxWindow = 128 << 20

// apply puts a layer over the tree. After an error the tree is to be thrown away.
func (t *tree) apply(ctx context.Context, from Fetcher, d ocispec.Descriptor, diff digest.Digest) error {
	want, err := attest.ParseDigest(string(diff))
	if err != nil {
		return err
	}
	packed, err := fetch(ctx, from, d)
	if err != nil {
		return err
	}
	defer packed.Close()
	plain, err := decompress(packed, d.MediaType)
	if err != nil {
		return err
	}
	defer plain.Close()
	sum := sha256.New()
	stream := io.TeeReader(&limited{ctx: ctx, r: plain, left: &t.left}, sum)
	t.begin()
	if err := t.read(tar.NewReader(stream)); err != nil {
		return err
	}
	// To its end, where it is verified: a tar may end before its file does.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return err
	}
	if attest.DigestFromSum(sum.Sum(nil)) != want {
		return fmt.Errorf("its content is not the %s that the image's configuration names", want)
	}
	return nil
}

func decompress(r io.Reader, mediaType string) (io.ReadCloser, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayer:
		return io.NopCloser(r), nil
	case ocispec.MediaTypeImageLayerGzip, dockerLayer:
		return gzip.NewReader(r)
	case ocispec.MediaTypeImageLayerZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, known(mediaType)
}

// known reports an error for a layer that nothing here unpacks.
func known(mediaType string) error {
	switch mediaType {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, dockerLayer, ocispec.MediaTypeImageLayerZstd:
		return nil
	}
	return fmt.Errorf("media type %q is not known: want a tar, plain or compressed by gzip or zstd", mediaType)
}

// A limited reader fails past what all layers together may be.
type limited struct {
	ctx  context.Context
	r    io.Reader
	left *int64
}

var errTooMuch = errors.New("the image is larger than it may be, decompressed")

func (l *limited) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := l.r.Read(p)
	if *l.left -= int64(n); *l.left < 0 {
		return n, errTooMuch
	}
	return n, err
}

// read puts the entries of a layer into the tree.
func (t *tree) read(layer *tar.Reader) error {
	for {
		h, err := layer.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if t.entries++; t.entries > t.limits.Entries {
			return fmt.Errorf("the image has more than %d entries", t.limits.Entries)
		}
		if err := t.add(h, layer); err != nil {
			var refused *EntryError
			if !errors.As(err, &refused) {
				err = fmt.Errorf("entry %.200q: %w", h.Name, err)
			}
			return err
		}
	}
}

// add puts one entry into the tree. Owners, set-uid bits and extended attributes
// are left out: the tree is the caller's, and nothing in it has rights.
func (t *tree) add(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	switch {
	case base == opaque:
		return t.hideBelow(dir)
	case strings.HasPrefix(base, ofAUFS):
		return nil
	case strings.HasPrefix(base, whiteout):
		base = strings.TrimPrefix(base, whiteout)
		if base == "" || base == "." || base == ".." {
			return &EntryError{h.Name, "it removes nothing that has a name"}
		}
		return t.hide(path.Join(dir, base))
	case sparse(h):
		return &EntryError{h.Name, "it is sparse"}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return t.directory(h, name)
	case tar.TypeReg:
		return t.file(h, name, content)
	case tar.TypeSymlink:
		return t.symlink(h, name)
	case tar.TypeLink:
		return t.hardlink(h, name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if inDev(name) {
			return nil
		}
		return &EntryError{h.Name, "it is a device or a pipe"}
	}
	return &EntryError{h.Name, fmt.Sprintf("its type %q is not known", h.Typeflag)}
}
