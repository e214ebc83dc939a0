package build

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// An Image is what a builder image says of itself, beside its files.
type Image struct {
	Architecture string            // as Go and OCI name it: amd64, arm64
	Created      time.Time         // in the config; the zero Time is not said
	Annotations  map[string]string // of the manifest
}

// WriteLayout makes an OCI image layout of one layer in dir, which must not
// hold anything yet; there is a whole one in the end or none. layer writes the
// layer's tar, which is not compressed: what a compressor makes changes with its
// version, and the digest would with it. The same tar makes the same bytes.
// beside, if not nil, puts files into the layout before it gets its name.
func WriteLayout(dir string, image Image, layer func(io.Writer) error, beside func(*Layout) error) (*Layout, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("builder image %s: there is something in this directory already", dir)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".builder-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	if err := fillLayout(temp, image, layer); err != nil {
		return nil, err
	}
	if beside != nil {
		l, err := OpenLayout(temp)
		if err != nil {
			return nil, err
		}
		if err := beside(l); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.Rename(temp, dir); err != nil {
		return nil, err
	}
	return OpenLayout(dir)
}

func fillLayout(dir string, image Image, layer func(io.Writer) error) error {
	blobs := filepath.Join(dir, ocispec.ImageBlobsDir, "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	tarDescriptor, err := writeLayer(blobs, layer)
	if err != nil {
		return err
	}
	c := ocispec.Image{
		Platform: ocispec.Platform{Architecture: image.Architecture, OS: "linux"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{tarDescriptor.Digest}},
	}
	if !image.Created.IsZero() {
		created := image.Created.UTC()
		c.Created = &created
	}
	config, err := writeJSON(blobs, ocispec.MediaTypeImageConfig, c)
	if err != nil {
		return err
	}
	manifest, err := writeJSON(blobs, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageManifest,
		Config:      config,
		Layers:      []ocispec.Descriptor{tarDescriptor},
		Annotations: image.Annotations,
	})
	if err != nil {
		return err
	}
	manifest.Platform = &ocispec.Platform{Architecture: image.Architecture, OS: "linux"}
	return writeIndex(dir, manifest)
}

func writeJSON(blobs, mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := attest.DigestOf(b)
	err = os.WriteFile(filepath.Join(blobs, d.Hex()), b, 0o644)
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(d), Size: int64(len(b))}, err
}

func writeLayer(blobs string, layer func(io.Writer) error) (ocispec.Descriptor, error) {
	f, err := os.CreateTemp(blobs, ".layer-*")
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer f.Close()
	sum := sha256.New()
	if err := layer(io.MultiWriter(f, sum)); err != nil {
		return ocispec.Descriptor{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := attest.DigestFromSum(sum.Sum(nil))
	if err := errors.Join(f.Chmod(0o644), f.Close(), os.Rename(f.Name(), filepath.Join(blobs, d.Hex()))); err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.Digest(d), Size: info.Size()}, nil
}

// CopyLayout makes a layout in dir, which must not hold anything yet, of an image
// that is elsewhere: raw is its manifest, blob opens what that names. Everything
// is held to its digest.
func CopyLayout(dir string, raw []byte, d ocispec.Descriptor, blob func(ocispec.Descriptor) (io.ReadCloser, error)) (*Layout, error) {
	var m ocispec.Manifest
	if err := strictjson.UnmarshalForeign(raw, maxManifest, &m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	blobs := filepath.Join(dir, ocispec.ImageBlobsDir, "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, err
	}
	for _, part := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := copyBlob(blobs, part, blob); err != nil {
			return nil, fmt.Errorf("blob %s: %w", part.Digest, err)
		}
	}
	manifest := ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(attest.DigestOf(raw)), Size: int64(len(raw))}
	if err := os.WriteFile(filepath.Join(blobs, manifest.Digest.Encoded()), raw, 0o644); err != nil {
		return nil, err
	}
	if err := writeIndex(dir, manifest); err != nil {
		return nil, err
	}
	return OpenLayout(dir)
}

func copyBlob(blobs string, d ocispec.Descriptor, open func(ocispec.Descriptor) (io.ReadCloser, error)) error {
	want, err := attest.ParseDigest(string(d.Digest))
	if err != nil {
		return err
	}
	r, err := open(d)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := writeLayer(blobs, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(r, d.Size+1))
		return err
	})
	if err == nil && (got.Size != d.Size || string(got.Digest) != string(want)) {
		return fmt.Errorf("it has %d bytes and is %s; its descriptor says %d", got.Size, got.Digest, d.Size)
	}
	return err
}

// writeIndex writes what makes a directory with blobs a layout of one image.
func writeIndex(dir string, manifest ocispec.Descriptor) error {
	b, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{manifest},
	})
	if err != nil {
		return err
	}
	version := []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, ocispec.ImageLayoutFile), version, 0o644),
		os.WriteFile(filepath.Join(dir, ocispec.ImageIndexFile), b, 0o644),
	)
}
