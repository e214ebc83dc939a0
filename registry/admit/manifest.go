package admit

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// What types of ours, and of Sigstore's bundles, begin with.
const (
	ours     = "application/vnd.patchfit."
	sigstore = "application/vnd.dev.sigstore."
)

// annotated is what of a manifest clients turn into names and lines of text.
type annotated struct {
	Annotations map[string]string `json:"annotations,omitzero"`
	Config      noted             `json:"config,omitzero"`
	Layers      []noted           `json:"layers,omitzero"`
	Manifests   []noted           `json:"manifests,omitzero"`
	Subject     noted             `json:"subject,omitzero"`
}

type noted struct {
	Annotations map[string]string `json:"annotations,omitzero"`
}

const titleKey = "org.opencontainers.image.title" // what clients name a file by

// legible refuses annotations that clients could take for a path or a command to
// a terminal.
func legible(raw []byte, limit int) error {
	var m annotated
	if err := strictjson.UnmarshalForeign(raw, MaxManifest, &m); err != nil {
		return corrupt("manifest: %v", err)
	}
	if err := lintNotes("", m.Annotations, limit); err != nil {
		return err
	}
	if err := lintNotes("/config", m.Config.Annotations, limit); err != nil {
		return err
	}
	if err := lintNotes("/subject", m.Subject.Annotations, limit); err != nil {
		return err
	}
	if err := lintAll("/layers", m.Layers, limit); err != nil {
		return err
	}
	return lintAll("/manifests", m.Manifests, limit)
}

func lintAll(at string, list []noted, limit int) error {
	for i, n := range list {
		if err := lintNotes(fmt.Sprintf("%s/%d", at, i), n.Annotations, limit); err != nil {
			return err
		}
	}
	return nil
}

// lintNotes allows names and values of limit bytes.
func lintNotes(at string, notes map[string]string, limit int) error {
	for k, v := range notes {
		switch {
		case k == "" || len(k) > limit || strings.ContainsFunc(k, unicode.IsControl):
			return corrupt("%s/annotations: the name %.80q is empty, too long or has control characters", at, k)
		case len(v) > limit:
			return corrupt("%s/annotations/%s: %d bytes, want at most %d", at, k, len(v), limit)
		case strings.ContainsFunc(v, isControl):
			return corrupt("%s/annotations/%s: %.80q has control characters", at, k, v)
		case k == titleKey && !isFileName(v):
			return corrupt("%s/annotations/%s: %.80q is not the name of one file: 1 to %d bytes, no separators, no control characters", at, k, v, maxTitle)
		}
	}
	return nil
}

// isControl leaves texts of several lines be.
func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

// isFileName reports whether s is one path element on every system.
func isFileName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= maxTitle &&
		!strings.ContainsAny(s, `/\`) && !strings.ContainsFunc(s, unicode.IsControl)
}

// artifact checks a manifest that carries no bundle. What it does not know is
// an image, or something of others that only publishers and auditors see.
func (a *Admitter) artifact(m *state.Manifest, p Put) error {
	switch {
	case m.Type == attest.ArtifactEnv:
		return a.environment(m, p)
	case m.Type == attest.ArtifactBase:
		return a.base(m)
	case m.Type == attest.ArtifactPatch:
		return a.oneFile(m, attest.ArtifactBase, "base")
	case m.Type == attest.ArtifactRebuild:
		return a.rebuild(m)
	case m.Type == attest.ArtifactSource:
		return a.source(m)
	case m.Type == attest.ArtifactInputs:
		return a.inputs(m)
	case isOurs(m):
		return corrupt("/artifactType: %.80q with a config of %.80q is no artifact this server knows", m.Type, m.ConfigMediaType)
	}
	return nil
}

// isOurs reports whether a manifest says that it is an artifact of ours.
func isOurs(m *state.Manifest) bool {
	return strings.HasPrefix(m.Type, ours) || strings.HasPrefix(m.ConfigMediaType, ours)
}

// environment admits the artifact of an environment: its config is the
// environment in canonical JSON, its subject the builder image this names.
func (a *Admitter) environment(m *state.Manifest, p Put) error {
	if m.ConfigMediaType != attest.MediaEnvironment {
		return corrupt("/config/mediaType: %.80q, want %s", m.ConfigMediaType, attest.MediaEnvironment)
	}
	for i, l := range m.Layers {
		if l.Digest != emptyConfig {
			return corrupt("/layers/%d: an environment has no files beside its config", i)
		}
	}
	if err := isManifest(m); err != nil {
		return err
	}
	raw, err := p.read("/config", *m.Config, attest.MaxEnvironment)
	if err != nil {
		return err
	}
	e, err := attest.ParseEnvironment(raw)
	if err != nil {
		return corrupt("/config: environment: %v", err)
	}
	if m.Subject != e.BuilderImage {
		return refuse(verify.SubjectMismatch, "/subject: %s, want %s, the builder image of the environment", orNone(m.Subject), e.BuilderImage)
	}
	image, ok := a.state.Manifest(m.Repository, m.Subject)
	if !ok || image.Config == nil || isOurs(image) || isBundle(image) {
		return refuse(verify.SubjectMismatch, "/subject: %s is no image in this repository; push the builder image first", m.Subject)
	}
	return nil
}

// oneFile admits a base or a patch: one layer, no config, and a subject of the
// type it has to be attached to.
func (a *Admitter) oneFile(m *state.Manifest, subjectType, what string) error {
	if err := aloneFile(m); err != nil {
		return err
	}
	subject, ok := a.state.Manifest(m.Repository, m.Subject)
	if !ok || subject.Type != subjectType {
		return refuse(verify.SubjectMismatch, "/subject: %s is no %s in this repository; push the %s first", orNone(m.Subject), what, what)
	}
	return nil
}

// aloneFile asks for one layer and no config, whatever it is attached to.
func aloneFile(m *state.Manifest) error {
	if err := isManifest(m); err != nil {
		return err
	}
	if err := hasEmptyConfig(m); err != nil {
		return err
	}
	if n := len(m.Layers); n != 1 {
		return corrupt("/layers: %d, want exactly 1: the file", n)
	}
	if m.Layers[0].Size == 0 || m.Layers[0].Digest == emptyConfig {
		return corrupt("/layers/0: is empty")
	}
	return nil
}

func isManifest(m *state.Manifest) error {
	if m.MediaType != state.MediaManifest {
		return corrupt("/mediaType: %s, want %s", m.MediaType, state.MediaManifest)
	}
	return nil
}

// hasEmptyConfig keeps a manifest that hosts may read from naming any other
// blob beside the one it is about.
func hasEmptyConfig(m *state.Manifest) error {
	if m.Config.Digest != emptyConfig {
		return corrupt("/config: %s of type %.80q, want the empty config %s of type %s", m.Config.Digest, m.ConfigMediaType, emptyConfig, mediaEmpty)
	}
	return nil
}

// read returns the bytes of a descriptor that has to have its size.
func (p Put) read(at string, d state.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, corrupt("%s: %d bytes exceed the limit of %d", at, d.Size, limit)
	}
	raw, err := p.Files.File(d.Digest, limit)
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) != d.Size {
		return nil, corrupt("%s/size: %d, the blob has %d bytes", at, d.Size, len(raw))
	}
	return raw, nil
}

func orNone(d attest.Digest) string {
	if d == "" {
		return "(none)"
	}
	return string(d)
}
