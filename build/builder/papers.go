package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/inventory"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Papers are what lies beside an image in its layout, in the directory patchfit.
// They are not part of the image; they say how it was made.
type Papers struct {
	Materials *Materials
	Inventory []byte // SPDX
	Lock      *Lock  // nil where there was none
}

// Materials say what an image was made of: what its provenance will say.
type Materials struct {
	SchemaVersion int           `json:"schemaVersion"`
	Image         attest.Digest `json:"image"` // its manifest
	Command       []string      `json:"command"`
	Dependencies  []Material    `json:"dependencies"`
}

// A Material is one thing an image was made of.
type Material struct {
	Name   string        `json:"name"`
	URI    string        `json:"uri,omitzero"`
	Digest attest.Digest `json:"digest"`
}

const (
	papersDir     = "patchfit"
	materialsFile = "materials.json"
	inventoryFile = "spdx.json"
	lockFile      = "lock.json"

	maxMaterials = 8 << 20
)

// materials say that an image was made of a lock: the lock, the recipe, and each
// package's file.
func (l *Lock) materials(recipe, lock attest.Digest) *Materials {
	m := &Materials{
		Command:      []string{"patchfit", "builder", "create", "--lock", lockFile},
		Dependencies: []Material{{Name: attest.DependencySource, Digest: lock}},
	}
	if recipe != "" {
		m.Dependencies = append(m.Dependencies, Material{Name: "recipe", Digest: recipe})
	}
	for _, p := range l.Packages {
		purl := inventory.Package{Name: p.Name, Version: p.Version, Architecture: p.Architecture}.PURL("")
		m.Dependencies = append(m.Dependencies, Material{Name: p.input().Name, URI: purl, Digest: p.Digest})
	}
	return m
}

// lay puts the papers of a draft into the layout of its image, and the files that
// are kept among its blobs.
func (b *Builder) lay(l *build.Layout, d *draft, packages []inventory.Package, distro string) error {
	dir := filepath.Join(l.Dir, papersDir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	m := *d.materials
	m.SchemaVersion, m.Image = 1, l.Digest
	if len(m.Dependencies) == 0 { // of a root file system nobody named: what became of it
		m.Dependencies = []Material{{Name: attest.DependencySource, Digest: attest.Digest(l.Layers[0].Digest)}}
	}
	materials, err := strictjson.Canonical(m)
	if err != nil {
		return err
	}
	spdx, err := inventory.SPDX(inventory.Image{Manifest: l.Digest, Created: d.epoch, Distro: distro}, packages)
	if err != nil {
		return err
	}
	files := map[string][]byte{materialsFile: materials, inventoryFile: spdx}
	if d.lock != nil {
		if files[lockFile], err = d.lock.Canonical(); err != nil {
			return err
		}
		for _, f := range d.lock.Kept() {
			at := filepath.Join(l.Dir, ocispec.ImageBlobsDir, "sha256", f.Digest.Hex())
			if err := b.store.put(f, at); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("keeping %s: %w", f.Name, err)
			}
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ReadPapers returns the papers of an image; nil where it has none, as images
// that something else made.
func ReadPapers(l *build.Layout) (*Papers, error) {
	p, err := readPapers(l)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("papers of the builder image %s: %w", l.Dir, err)
	}
	return p, nil
}

func readPapers(l *build.Layout) (*Papers, error) {
	b, err := readPaper(l, materialsFile, maxMaterials)
	if err != nil {
		return nil, err
	}
	p := &Papers{Materials: &Materials{}}
	if err := strictjson.Unmarshal(b, maxMaterials, p.Materials); err != nil {
		return nil, fmt.Errorf("%s: %w", materialsFile, err)
	}
	if p.Materials.Image != l.Digest {
		return nil, fmt.Errorf("they are of image %s, this is %s", p.Materials.Image, l.Digest)
	}
	if p.Inventory, err = readPaper(l, inventoryFile, inventory.MaxSPDX); err != nil {
		return nil, fmt.Errorf("%s: %w", inventoryFile, err)
	}
	if _, err := inventory.ParseSPDX(p.Inventory); err != nil {
		return nil, err
	}
	b, err = readPaper(l, lockFile, MaxLock)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	p.Lock, err = ParseLock(b)
	return p, err
}

func readPaper(l *build.Layout, name string, limit int64) ([]byte, error) {
	path := filepath.Join(l.Dir, papersDir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s of %d bytes exceeds the limit of %d", name, info.Size(), limit)
	}
	return os.ReadFile(path)
}

// Kept returns descriptors of the files that are kept, which are blobs of the
// layout: none where the recipe keeps nothing.
func (p *Papers) Kept() []ocispec.Descriptor {
	if p.Lock == nil {
		return nil
	}
	var list []ocispec.Descriptor
	for _, f := range p.Lock.Kept() {
		mediaType := "application/octet-stream"
		if slices.ContainsFunc(p.Lock.Packages, func(l Locked) bool { return l.Digest == f.Digest }) {
			mediaType = "application/vnd.debian.binary-package"
		}
		list = append(list, ocispec.Descriptor{
			MediaType: mediaType, Digest: digest.Digest(f.Digest), Size: f.Size,
			Annotations: map[string]string{ocispec.AnnotationTitle: f.Name},
		})
	}
	return list
}

// Packages returns what is installed in an image, by its layers.
func Packages(ctx context.Context, l *build.Layout, temp string) (list []inventory.Package, err error) {
	err = (&Builder{temp: temp}).within(func(temp string) error {
		s := &source{tree: tree{}, temp: temp}
		defer s.close()
		if err := s.readImage(ctx, l); err != nil {
			return fmt.Errorf("reading the root file system: %w", err)
		}
		list, err = s.tree.packages()
		return err
	})
	return list, err
}

// Provenance returns how an image was made, as a predicate (SLSA provenance v1):
// the same for everybody who makes it for that product.
func (p *Papers) Provenance(product, builderID string) *attest.Provenance {
	m := p.Materials
	out := &attest.Provenance{BuildDefinition: attest.BuildDefinition{
		BuildType:          attest.BuildType,
		ExternalParameters: attest.ExternalParameters{Product: product, Command: m.Command},
	}}
	for _, d := range m.Dependencies {
		out.BuildDefinition.ResolvedDependencies = append(out.BuildDefinition.ResolvedDependencies,
			attest.ResourceDescriptor{Name: d.Name, URI: d.URI, Digest: map[string]string{"sha256": d.Digest.Hex()}})
	}
	out.RunDetails.Builder.ID = builderID
	out.RunDetails.Metadata.InvocationID = uuid.NewSHA1(uuid.NameSpaceURL, append([]byte(m.Image), 0)).String()
	return out
}
