package state

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/policy"
)

// Media types of the manifests that are read (OCI image spec v1.1; Docker
// Registry v2, schema 2).
const (
	MediaManifest   = "application/vnd.oci.image.manifest.v1+json"
	MediaIndex      = "application/vnd.oci.image.index.v1+json"
	mediaDocker     = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaForeign    = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" // a layer
)

// Limits of manifests.
const (
	MaxManifest = 4 << 20 // bytes
	maxChildren = 128     // layers or manifests
	maxNotes    = 1 << 12 // annotations of one object
)

// A Manifest is what the server knows of one manifest of a repository.
type Manifest struct {
	policy.Artifact             // File: the config of an environment, else the sole layer
	MediaType       string      // as it was put
	Size            int64       // of its bytes
	SubjectName     string      // the subject as it is named: its sha256, or its sha512; "": none
	Config          *Descriptor // nil for an index
	Layers          []Descriptor
	Manifests       []Descriptor // of an index
	References      []string     // config, layers, manifests, as they are named; not the subject
	Annotations     map[string]string
	ConfigMediaType string
	Bundle          attest.Digest // the admitted bundle it carries; zero: none
	By              string        // principal that put it first
}

// A Descriptor names a blob or manifest that a manifest is made of.
type Descriptor struct {
	MediaType string        `json:"mediaType"`
	Name      string        `json:"digest"` // as it is written: a sha256 or a sha512
	Digest    attest.Digest `json:"-"`      // "" where Name is a sha512
	Size      int64         `json:"size"`
	URLs      []string      `json:"urls,omitzero"`
}

// Foreign reports whether whoever pushes a manifest need not push this layer:
// its type says that it must not be distributed, or it names other places to
// get it from (OCI image spec v1.1, Non-Distributable Layers).
func (d *Descriptor) Foreign() bool {
	return len(d.URLs) > 0 || strings.Contains(d.MediaType, ".layer.nondistributable.") || d.MediaType == mediaForeign
}

type wireManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitzero"`
	ArtifactType  string            `json:"artifactType,omitzero"`
	Config        *Descriptor       `json:"config,omitzero"`
	Layers        []Descriptor      `json:"layers,omitzero"`
	Manifests     []Descriptor      `json:"manifests,omitzero"`
	Subject       *Descriptor       `json:"subject,omitzero"`
	Annotations   map[string]string `json:"annotations,omitzero"`
}

// ParseManifest reads the bytes of a manifest that was put as mediaType. What
// two readers could take for different things is refused: duplicate names, a
// mediaType that is not the one it was put as, layers in an index or manifests
// beside layers. So are digests that are neither sha256 nor sha512. Repository
// and Bundle are left to the caller.
func ParseManifest(raw []byte, mediaType string) (*Manifest, error) {
	var w wireManifest
	if err := strictjson.UnmarshalForeign(raw, MaxManifest, &w); err != nil {
		return nil, err
	}
	if err := w.check(mediaType); err != nil {
		return nil, err
	}
	m := &Manifest{
		MediaType: mediaType, Size: int64(len(raw)),
		Config: w.Config, Layers: w.Layers, Manifests: w.Manifests, Annotations: w.Annotations,
	}
	m.Artifact.Manifest = attest.DigestOf(raw)
	m.Type = w.ArtifactType
	if w.Subject != nil {
		m.Subject, m.SubjectName = w.Subject.Digest, w.Subject.Name
	}
	if w.Config != nil {
		m.ConfigMediaType = w.Config.MediaType
		m.References = append(m.References, w.Config.Name)
		if m.Type == "" {
			m.Type = w.Config.MediaType
		}
	}
	for _, d := range slices.Concat(w.Layers, w.Manifests) {
		m.References = append(m.References, d.Name)
	}
	m.File, m.FileSize = m.file()
	return m, nil
}

// file is the one file a statement about the manifest may name as its second
// subject.
func (m *Manifest) file() (attest.Digest, int64) {
	switch {
	case m.Config == nil:
		return "", 0
	case m.Type == attest.ArtifactEnv:
		return m.Config.Digest, m.Config.Size
	case len(m.Layers) == 1:
		return m.Layers[0].Digest, m.Layers[0].Size
	}
	return "", 0
}

func (w *wireManifest) check(mediaType string) error {
	if w.SchemaVersion != 2 {
		return strictjson.Errorf("/schemaVersion", "%d, want 2", w.SchemaVersion)
	}
	if w.MediaType != "" && w.MediaType != mediaType {
		return strictjson.Errorf("/mediaType", "%.80q, and it was sent as %.80q", w.MediaType, mediaType)
	}
	if err := w.checkShape(mediaType); err != nil {
		return err
	}
	if len(w.Annotations) > maxNotes {
		return strictjson.Errorf("/annotations", "%d, want at most %d", len(w.Annotations), maxNotes)
	}
	if w.Config != nil {
		if err := w.Config.check("/config"); err != nil {
			return err
		}
	}
	if w.Subject != nil {
		if err := w.Subject.check("/subject"); err != nil {
			return err
		}
	}
	if err := checkAll("/layers", w.Layers); err != nil {
		return err
	}
	return checkAll("/manifests", w.Manifests)
}

// checkShape asks that a manifest has a config and layers, an index manifests,
// and neither what belongs to the other.
func (w *wireManifest) checkShape(mediaType string) error {
	switch mediaType {
	case MediaManifest, mediaDocker:
		if w.Config == nil {
			return strictjson.Errorf("/config", "missing")
		}
		if w.Manifests != nil {
			return strictjson.Errorf("/manifests", "belongs to an index, and this is %s", mediaType)
		}
	case MediaIndex, mediaDockerList:
		if w.Config != nil || w.Layers != nil {
			return strictjson.Errorf("", "config and layers belong to a manifest, and this is %s", mediaType)
		}
	default:
		return strictjson.Errorf("/mediaType", "%.80q is no manifest that this registry knows", mediaType)
	}
	return nil
}

func checkAll(at string, list []Descriptor) error {
	if len(list) > maxChildren {
		return strictjson.Errorf(at, "%d, want at most %d", len(list), maxChildren)
	}
	for i := range list {
		if err := list[i].check(fmt.Sprintf("%s/%d", at, i)); err != nil {
			return err
		}
	}
	return nil
}

// check reads the name of a descriptor and refuses what cannot be followed.
func (d *Descriptor) check(at string) error {
	switch {
	case d.MediaType == "":
		return strictjson.Errorf(at+"/mediaType", "missing")
	case d.Name == "":
		return strictjson.Errorf(at+"/digest", "missing")
	case d.Size < 0:
		return strictjson.Errorf(at+"/size", "%d is negative", d.Size)
	}
	for _, u := range d.URLs {
		if !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
			return strictjson.Errorf(at+"/urls", "%.80q is no http or https address", u)
		}
	}
	var err error
	if d.Digest, _, err = ParseName(d.Name); err != nil {
		return strictjson.Errorf(at+"/digest", "%v", err)
	}
	return nil
}
