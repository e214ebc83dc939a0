package admit

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// rebuild admits what a rebuild left behind: its log and, where the result is
// another, how it differs. It is attached to what was rebuilt. It says nothing:
// the statement about it does, in a bundle.
func (a *Admitter) rebuild(m *state.Manifest) error {
	if err := isManifest(m); err != nil {
		return err
	}
	if err := hasEmptyConfig(m); err != nil {
		return err
	}
	if n := len(m.Layers); n != 1 && n != 2 {
		return corrupt("/layers: %d, want 1 or 2: the log, and the difference", n)
	}
	for i, l := range m.Layers {
		if l.Digest == emptyConfig || l.Size == 0 {
			return corrupt("/layers/%d: is empty", i)
		}
	}
	return a.aboutBuilt(m, "a rebuild to what was rebuilt")
}

// source admits the archive that a build started from, attached to what it made.
// It says nothing: the provenance names its digest, and who builds again holds
// the archive to that.
func (a *Admitter) source(m *state.Manifest) error {
	if err := isManifest(m); err != nil {
		return err
	}
	if err := hasEmptyConfig(m); err != nil {
		return err
	}
	if n := len(m.Layers); n != 1 {
		return corrupt("/layers: %d, want exactly 1: the archive", n)
	}
	if l := m.Layers[0]; l.Digest == emptyConfig || l.Size == 0 {
		return corrupt("/layers/0: is empty")
	}
	return a.aboutBuilt(m, "a source to what was made of it")
}

// aboutBuilt asks for a subject that a build made.
func (a *Admitter) aboutBuilt(m *state.Manifest, attach string) error {
	subject, ok := a.state.Manifest(m.Repository, m.Subject)
	if !ok || subject.Type != attest.ArtifactBase && subject.Type != attest.ArtifactPatch {
		return refuse(verify.SubjectMismatch, "/subject: %s is no base and no patch in this repository; attach %s", orNone(m.Subject), attach)
	}
	return nil
}
