package mirror

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/verify"
)

// A Holding is an OCI image layout, a directory or a tar file, read for what it
// says about its artifacts: a mirror, or what other tools copied out of a
// registry. Only a mirror has a trust policy and revocations with it. Nothing
// in it is verified; every blob is hashed as it is read.
type Holding struct {
	layout    Layout
	tags      map[string]attest.Digest
	manifests map[attest.Digest]*manifest
}

// OpenHolding opens the layout at path.
func OpenHolding(path string) (*Holding, error) {
	f, err := openFiles(path)
	if err != nil {
		return nil, err
	}
	h := &Holding{layout: Layout{files: f}, tags: map[string]attest.Digest{}, manifests: map[attest.Digest]*manifest{}}
	if err := h.read(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return h, nil
}

// Close closes its files.
func (h *Holding) Close() error { return h.layout.Close() }

func (h *Holding) read() error {
	if err := isLayout(h.layout.files); err != nil {
		return err
	}
	raw, err := readFile(h.layout.files, indexFile, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return problem(Unfinished, "there is no %s: this is no OCI image layout", indexFile)
	}
	if err != nil {
		return err
	}
	var index indexDoc
	if err := strictjson.UnmarshalForeign(raw, maxIndex, &index); err != nil {
		return problem(Corrupt, "%s: %v", indexFile, err)
	}
	for _, e := range index.Manifests {
		if e.ArtifactType == ArtifactMirror {
			if err := h.layout.readRecord(raw); err != nil {
				return err
			}
			continue
		}
		if err := h.take(e.Descriptor, 0); err != nil {
			return err
		}
		if name := e.Annotations[refName]; name != "" {
			h.tags[name] = e.Digest
		}
	}
	if h.layout.Record != nil {
		return nil // which names all there is
	}
	return h.unlisted()
}

const maxUnlisted = 64 << 10 // bytes of a blob that is looked at because it could be a bundle's manifest

// unlisted finds referrers that index.json does not list: cosign save puts them
// among the blobs and nowhere else.
func (h *Holding) unlisted() error {
	blobs, err := h.layout.held()
	if err != nil {
		return err
	}
	for d, size := range blobs {
		if h.manifests[d] != nil || size > maxUnlisted {
			continue
		}
		raw, err := h.layout.read(Descriptor{MediaType: mediaManifest, Digest: d, Size: size}, maxUnlisted)
		if err != nil {
			return err
		}
		if m, err := parseManifest(raw, mediaManifest); err == nil && m.isBundle() {
			h.manifests[d] = m
		}
	}
	return nil
}

const maxNesting = 4 // indexes in indexes: tools copy an image's referrers in one

// take reads a manifest and, of an index, its parts. Parts that are not there
// were not copied; nothing follows from them.
func (h *Holding) take(d Descriptor, depth int) error {
	if h.manifests[d.Digest] != nil || depth > maxNesting || !isManifest(d.MediaType) {
		return nil
	}
	if len(h.manifests) >= maxManifests {
		return problem(Corrupt, "there are more than %d manifests", maxManifests)
	}
	m, err := h.layout.manifest(d)
	if errors.Is(err, errForeign) {
		return nil
	}
	if err != nil {
		return err
	}
	h.manifests[d.Digest] = m
	for _, p := range m.Manifests {
		var gone *Problem
		if err := h.take(p.Descriptor, depth+1); err != nil && !(errors.As(err, &gone) && gone.Code == Missing) {
			return err
		}
	}
	return nil
}

// Resolve returns the digest of the manifest that a tag of a repository, or a
// name in index.json, leads to.
func (h *Holding) Resolve(repository, tag string) (attest.Digest, bool) {
	if h.layout.Record != nil {
		for _, repo := range h.layout.Record.Repositories {
			if i := slices.IndexFunc(repo.Tags, func(t Tag) bool { return t.Tag == tag }); i >= 0 && repo.Repository == repository {
				return repo.Tags[i].Digest, true
			}
		}
		return "", false
	}
	for name, d := range h.tags { // tools name an entry by tag, by repository:tag or with the registry in front
		if name == tag || name == repository+":"+tag || strings.HasSuffix(name, "/"+repository+":"+tag) {
			return d, true
		}
	}
	return "", false
}

// Artifact returns what statements about a manifest have to be about, and its
// type.
func (h *Holding) Artifact(d attest.Digest) (a verify.Artifact, typ string, ok bool) {
	m := h.manifests[d]
	if m == nil {
		return a, "", false
	}
	return m.artifact(), m.typ(), true
}

// Bundles returns every bundle in it, by the digest of its bytes.
func (h *Holding) Bundles() (map[attest.Digest][]byte, error) {
	var all []Descriptor
	for _, m := range h.manifests {
		if m.isBundle() {
			all = append(all, m.Layers[0].Descriptor)
		}
	}
	if h.layout.Record != nil {
		for _, repo := range h.layout.Record.Repositories {
			for _, d := range repo.Detached {
				all = append(all, d.Bundle)
			}
		}
	}
	bundles := make(map[attest.Digest][]byte, len(all))
	for _, d := range all {
		raw, err := h.layout.read(d, attest.MaxBundle)
		if err != nil {
			return nil, err
		}
		bundles[d.Digest] = raw
	}
	return bundles, nil
}

// TrustPolicy returns the envelope of a mirror's trust policy; nil where it is
// another layout.
func (h *Holding) TrustPolicy() ([]byte, error) {
	if h.layout.Record == nil {
		return nil, nil
	}
	return h.layout.TrustPolicy()
}

// Revocations returns the bundles of a product's revocations as a mirror holds
// them; false where it is another layout, which knows of none.
func (h *Holding) Revocations(product string) ([][]byte, bool, error) {
	if h.layout.Record == nil {
		return nil, false, nil
	}
	var all [][]byte
	known := false
	for _, repo := range h.layout.Record.Repositories {
		if repo.Product != product {
			continue
		}
		known = true
		for _, d := range repo.Revocations {
			raw, err := h.layout.read(d, attest.MaxBundle)
			if err != nil {
				return nil, false, err
			}
			all = append(all, raw)
		}
	}
	return all, known, nil
}
