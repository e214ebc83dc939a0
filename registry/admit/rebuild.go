package admit

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// rebuild admits what a rebuild left behind: its log and, where the result is
// another, what came out and how it differs. It is attached to what was rebuilt. It says nothing:
// the statement about it does, in a bundle.
func (a *Admitter) rebuild(m *state.Manifest) error {
	if err := isManifest(m); err != nil {
		return err
	}
	if err := hasEmptyConfig(m); err != nil {
		return err
	}
	if n := len(m.Layers); n < 1 || n > 3 {
		return corrupt("/layers: %d, want 1 to 3: the log, what came out, and the difference", n)
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

// rebuilt checks that what a rebuild is said to have left behind is there, as it
// says: dissent that nobody can look at is none.
func (s said) rebuilt(r *attest.Rebuild) error {
	if err := s.wholeSubject(); err != nil || r.Output == "" {
		return err
	}
	const at = "/predicate/output"
	m, ok := s.admitter.state.Manifest(s.subject.Repository, r.Output)
	switch {
	case !ok:
		return refuse(verify.NoAttestation, "%s: %s is not in this repository; push what the rebuild left behind first", at, r.Output)
	case m.Type != attest.ArtifactRebuild:
		return refuse(verify.SubjectMismatch, "%s: %s is of type %.80q, want %s", at, r.Output, m.Type, attest.ArtifactRebuild)
	case m.Subject != s.subject.Artifact.Manifest:
		return refuse(verify.SubjectMismatch, "%s: %s is attached to %s, want %s, what was rebuilt", at, r.Output, orNone(m.Subject), s.subject.Artifact.Manifest)
	case !carries(m, r.Log):
		return refuse(verify.SubjectMismatch, "%s: %s does not carry the log %s", at, r.Output, r.Log)
	case r.Result == attest.Differs && !carries(m, r.Compared.File.Got):
		return refuse(verify.SubjectMismatch, "%s: %s does not carry %s, what came out", at, r.Output, r.Compared.File.Got)
	}
	return nil
}

func carries(m *state.Manifest, d attest.Digest) bool {
	for _, l := range m.Layers {
		if l.Digest == d {
			return true
		}
	}
	return false
}

// wholeSubject asks that a statement of an artifact names its one file, too.
func (s said) wholeSubject() error {
	if got := s.evidence.File(); got != s.subject.File || got == "" {
		return refuse(verify.SubjectMismatch, "statement is about file %s, want %s, the manifest's one file", orNone(got), orNone(s.subject.File))
	}
	return nil
}
