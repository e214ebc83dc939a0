package mirror

import (
	"cmp"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// An indexDoc is index.json (OCI image spec v1.1, Image Index).
type indexDoc struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []indexEntry `json:"manifests"`
}

type indexEntry struct {
	Descriptor
	Annotations map[string]string `json:"annotations,omitzero"`
}

const refName = "org.opencontainers.image.ref.name"

// index returns index.json of a layout: every manifest of every repository,
// once for each tag, and last the mirror's record, whose bytes are raw.
func (r *Record) index(raw []byte) ([]byte, error) {
	doc := indexDoc{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []indexEntry{}}
	names := r.names()
	seen := map[attest.Digest]bool{}
	for i := range r.Repositories {
		for _, d := range r.Repositories[i].Manifests {
			if seen[d.Digest] {
				continue
			}
			seen[d.Digest] = true
			if len(names[d.Digest]) == 0 {
				doc.Manifests = append(doc.Manifests, indexEntry{Descriptor: d})
			}
			for _, name := range names[d.Digest] {
				doc.Manifests = append(doc.Manifests, indexEntry{d, map[string]string{refName: name}})
			}
		}
	}
	slices.SortStableFunc(doc.Manifests, func(a, b indexEntry) int {
		return cmp.Or(byDigest(a.Descriptor, b.Descriptor), cmp.Compare(a.Annotations[refName], b.Annotations[refName]))
	})
	_, own, err := r.manifest(raw)
	if err != nil {
		return nil, err
	}
	doc.Manifests = append(doc.Manifests, indexEntry{Descriptor: own})
	return strictjson.Canonical(doc)
}

// names returns what each manifest is called in index.json: by its tag, and
// where the mirror holds several repositories by repository:tag.
func (r *Record) names() map[attest.Digest][]string {
	names := map[attest.Digest][]string{}
	for _, repo := range r.Repositories {
		for _, t := range repo.Tags {
			name := t.Tag
			if len(r.Repositories) > 1 {
				name = repo.Repository + ":" + t.Tag
			}
			names[t.Digest] = append(names[t.Digest], name)
		}
	}
	return names
}

// manifest returns the record as an artifact of the layout: its config is the
// record, whose bytes are raw, its layers are what the record names beside
// manifests, each with a name for whoever takes it out.
func (r *Record) manifest(raw []byte) ([]byte, Descriptor, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: mediaManifest, ArtifactType: ArtifactMirror,
		Config: &part{Descriptor: describe(MediaRecord, raw)},
		Layers: []part{titled(r.TrustPolicy, "trust-policy.signed.json"), titled(r.TrustedRoot, "trusted_root.json")},
	}
	if r.Log != nil {
		m.Layers = append(m.Layers, titled(r.Log.Checkpoint, "checkpoint"), titled(r.Log.Entries, "log-entries.json"))
	}
	for _, d := range r.bundles() {
		m.Layers = append(m.Layers, titled(d, d.Digest.Hex()+".sigstore.json"))
	}
	b, err := strictjson.Canonical(m)
	d := describe(mediaManifest, b)
	d.ArtifactType = ArtifactMirror
	return b, d, err
}

func titled(d Descriptor, name string) part {
	return part{Descriptor: d, Annotations: map[string]string{titleKey: name}}
}

// bundles returns the bundles no manifest carries: revocations, channels and
// detached ones, each once.
func (r *Record) bundles() []Descriptor {
	var all []Descriptor
	for _, repo := range r.Repositories {
		for _, d := range repo.Detached {
			all = append(all, d.Bundle)
		}
		all = append(all, repo.Revocations...)
		all = append(all, repo.Channels...)
	}
	slices.SortFunc(all, byDigest)
	return slices.CompactFunc(all, func(a, b Descriptor) bool { return a.Digest == b.Digest })
}

// own returns the blobs that only the record names: itself, its manifest, what
// its layers are.
func (r *Record) own(raw []byte) ([]Descriptor, error) {
	_, m, err := r.manifest(raw)
	if err != nil {
		return nil, err
	}
	all := append([]Descriptor{m, describe(MediaRecord, raw), r.TrustPolicy, r.TrustedRoot}, r.bundles()...)
	if r.Log != nil {
		all = append(all, r.Log.Checkpoint, r.Log.Entries)
	}
	return all, nil
}
