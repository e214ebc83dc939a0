package build

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/archive"
)

// gather returns what an image has to hold so that every one of paths, as
// asked for, leads to the same file in it: the links passed, the directories
// and the files.
func gather(paths []string) (map[string]entry, error) {
	all := map[string]entry{}
	for _, p := range paths {
		_, e, err := walk(machine, p, func(name string, e entry) { all[name] = e })
		if err != nil {
			return nil, fmt.Errorf("the build used a file that is gone: %w", err)
		}
		if !e.mode.IsRegular() && !e.mode.IsDir() {
			return nil, fmt.Errorf("the build opened %s, which is neither file nor directory and cannot be in a builder image", p)
		}
	}
	return all, nil
}

// Pack makes an OCI image layout in dir that holds paths of this machine and
// the links that lead to them: one layer, sorted, without times and owners, so
// that packing the same files twice gives the same bytes. dir must not hold
// anything yet; there is a whole layout in the end, or none.
func Pack(dir, architecture string, paths []string) (*Layout, error) {
	all, err := gather(paths)
	if err != nil {
		return nil, err
	}
	if err := writeLayout(dir, architecture, func(w io.Writer) error { return writeTar(w, "/", all) }); err != nil {
		return nil, fmt.Errorf("packing the builder image: %w", err)
	}
	return OpenLayout(dir)
}

// writeTar writes entries, files with their content below root, as an archive.
func writeTar(w io.Writer, root string, entries map[string]entry) error {
	t := archive.New(w)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := writeEntry(t, root, name, entries[name]); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeEntry(t *archive.Writer, root, name string, e entry) error {
	switch {
	case e.mode.IsDir():
		return t.Dir(name)
	case e.mode&fs.ModeSymlink != 0:
		return t.Link(name, e.link)
	}
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return t.File(name, e.mode.Perm()&0o111 != 0, info.Size(), f)
}

// writeLayout makes an OCI image layout of one layer in dir, which must not
// hold anything yet; there is a whole one in the end or none. layer writes the
// layer's tar. The same tar makes the same bytes.
func writeLayout(dir, architecture string, layer func(io.Writer) error) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("builder image %s: there is something in this directory already", dir)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".builder-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := fillLayout(temp, architecture, layer); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temp, dir)
}

func fillLayout(dir, architecture string, layer func(io.Writer) error) error {
	blobs := filepath.Join(dir, ocispec.ImageBlobsDir, "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	tarDescriptor, err := writeLayer(blobs, layer)
	if err != nil {
		return err
	}
	config, err := writeJSON(blobs, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{Architecture: architecture, OS: "linux"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{tarDescriptor.Digest}},
	})
	if err != nil {
		return err
	}
	manifest, err := writeJSON(blobs, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{tarDescriptor},
	})
	if err != nil {
		return err
	}
	manifest.Platform = &ocispec.Platform{Architecture: architecture, OS: "linux"}
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
