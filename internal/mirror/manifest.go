package mirror

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/verify"
)

// Media types of the manifests that are copied (OCI image spec v1.1; Docker
// Registry v2, schema 2).
const (
	mediaManifest   = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex      = "application/vnd.oci.image.index.v1+json"
	mediaDocker     = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

var manifestTypes = []string{mediaManifest, mediaIndex, mediaDocker, mediaDockerList}

func isManifest(mediaType string) bool { return slices.Contains(manifestTypes, mediaType) }

// A manifest is what matters of an OCI manifest or index here.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitzero"`
	ArtifactType  string            `json:"artifactType,omitzero"`
	Config        *part             `json:"config,omitzero"`
	Layers        []part            `json:"layers,omitzero"`
	Manifests     []part            `json:"manifests,omitzero"`
	Subject       *part             `json:"subject,omitzero"`
	Annotations   map[string]string `json:"annotations,omitzero"`

	descriptor Descriptor
}

// A part is something a manifest names.
type part struct {
	Descriptor
	Annotations map[string]string `json:"annotations,omitzero"`
	URLs        []string          `json:"urls,omitzero"`
}

// errForeign is for a manifest that names something by another digest than a
// sha256: nothing of ours does, and a mirror leaves it out.
var errForeign = errors.New("it names what it needs by another digest than a sha256")

// foreign reports whether a manifest names anything by a sha512.
func foreign(raw []byte) bool {
	type named struct {
		Digest string `json:"digest,omitzero"`
	}
	var m struct {
		Config    named   `json:"config,omitzero"`
		Subject   named   `json:"subject,omitzero"`
		Layers    []named `json:"layers,omitzero"`
		Manifests []named `json:"manifests,omitzero"`
	}
	if err := strictjson.UnmarshalForeign(raw, maxManifest, &m); err != nil {
		return false // what is wrong is told by who reads it whole
	}
	return slices.ContainsFunc(slices.Concat([]named{m.Config, m.Subject}, m.Layers, m.Manifests), func(n named) bool {
		return strings.HasPrefix(n.Digest, "sha512:")
	})
}

// parseManifest reads a manifest that was served as mediaType.
func parseManifest(raw []byte, mediaType string) (*manifest, error) {
	if foreign(raw) {
		return nil, errForeign
	}
	m := &manifest{}
	d := attest.DigestOf(raw)
	if err := strictjson.UnmarshalForeign(raw, maxManifest, m); err != nil {
		return nil, problem(Corrupt, "manifest %s: %v", d, err)
	}
	if m.MediaType == "" {
		m.MediaType = mediaType
	}
	if m.SchemaVersion != 2 || m.MediaType != mediaType || !isManifest(mediaType) {
		return nil, problem(Corrupt, "manifest %s is version %d of %.80q and was sent as %.80q", d, m.SchemaVersion, m.MediaType, mediaType)
	}
	if n := max(len(m.Layers), len(m.Manifests)); n > maxChildren {
		return nil, problem(Corrupt, "manifest %s has %d parts, want at most %d", d, n, maxChildren)
	}
	m.descriptor = describe(mediaType, raw)
	m.descriptor.ArtifactType = m.ArtifactType
	if err := lint(d, "", m.Annotations); err != nil {
		return nil, err
	}
	for at, p := range m.parts() {
		if err := p.check(d, at); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// parts returns everything the manifest names, by where it names it.
func (m *manifest) parts() map[string]*part {
	all := map[string]*part{}
	if m.Config != nil {
		all["/config"] = m.Config
	}
	if m.Subject != nil {
		all["/subject"] = m.Subject
	}
	for i := range m.Layers {
		all[fmt.Sprintf("/layers/%d", i)] = &m.Layers[i]
	}
	for i := range m.Manifests {
		all[fmt.Sprintf("/manifests/%d", i)] = &m.Manifests[i]
	}
	return all
}

func (p *part) check(manifest attest.Digest, at string) error {
	if err := p.Descriptor.check(at, "", maxBlob); err != nil {
		return problem(Corrupt, "manifest %s: %v", manifest, err)
	}
	if len(p.URLs) > 0 {
		return problem(Corrupt, "manifest %s: %s/urls: a mirror copies what is there and follows nothing elsewhere", manifest, at)
	}
	return lint(manifest, at, p.Annotations)
}

const titleKey = "org.opencontainers.image.title" // what clients name a file by

// lint refuses annotations that clients could take for a path or a command to
// a terminal: who copies out of the layout has no gate in front.
func lint(manifest attest.Digest, at string, notes map[string]string) error {
	for k, v := range notes {
		switch {
		case strings.ContainsFunc(k, unicode.IsControl) || strings.ContainsFunc(v, isControl):
			return problem(Unsafe, "manifest %s: %s/annotations: %.80q is %.80q, with control characters", manifest, at, k, v)
		case k == titleKey && !isFileName(v):
			return problem(Unsafe, "manifest %s: %s/annotations: the title %.80q is not the name of one file", manifest, at, v)
		}
	}
	return nil
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

func isFileName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= 255 && !strings.ContainsAny(s, `/\`) && !strings.ContainsFunc(s, unicode.IsControl)
}

func (m *manifest) digest() attest.Digest { return m.descriptor.Digest }

// typ is the artifact type, of images the type of the config.
func (m *manifest) typ() string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}

func (m *manifest) isBundle() bool {
	return m.typ() == attest.ArtifactBundle && len(m.Layers) == 1 && m.Layers[0].MediaType == attest.ArtifactBundle && m.Subject != nil
}

// artifact is what a statement about m has to be about.
func (m *manifest) artifact() verify.Artifact {
	a := verify.Artifact{Manifest: m.digest()}
	switch {
	case m.Config == nil:
	case m.typ() == attest.ArtifactEnv:
		a.File = m.Config.Digest
	case len(m.Layers) == 1:
		a.File = m.Layers[0].Digest
	}
	return a
}

// blobs returns config and layers.
func (m *manifest) blobs() []Descriptor {
	var all []Descriptor
	if m.Config != nil {
		all = append(all, m.Config.Descriptor)
	}
	for _, l := range m.Layers {
		all = append(all, l.Descriptor)
	}
	return all
}
