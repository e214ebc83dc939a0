// Package admit decides what may come into a product's repository: it reads
// every manifest that is pushed, and of every bundle it carries it verifies all
// that a decision would later stand on. docs/spec/registry.md, "Admission".
//
// What it refuses was said wrongly, by the wrong key, about the wrong thing or
// in a form that two readers could take for two things; the error is a
// [*verify.Refusal] with the reason the gate would give. What it lets in is
// not yet evidence: that begins with the journal record of whoever asked.
package admit

import (
	"errors"
	"fmt"
	"sync"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// Limits of what may come in.
const (
	MaxArtifact  = 1 << 20 // bytes of the manifest of an artifact of ours, and of a bundle's
	MaxManifest  = state.MaxManifest
	MaxReferrers = 1000 // manifests with one subject

	maxNotes       = 64       // annotations of an artifact of ours, and of a bundle
	maxTitle       = 255      // bytes of a file name
	maxNote        = 4096     // bytes of an annotation's name or value there
	maxForeignNote = 64 << 10 // the same, in what is not ours
)

// ErrTooMany reports that a subject has [MaxReferrers] referrers and gets no
// more.
var ErrTooMany = errors.New("the subject has as many referrers as it may have")

// emptyConfig is what the manifests of our artifacts have for a config: the
// two bytes {} (OCI image spec v1.1, "Guidance for an Empty Descriptor").
const (
	emptyConfig = attest.Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
	mediaEmpty  = "application/vnd.oci.empty.v1+json"
)

// Files reads the blobs of one repository.
type Files interface {
	// File returns the bytes of a blob of at most limit bytes, hashed again.
	File(d attest.Digest, limit int64) ([]byte, error)
}

// A Put is a manifest on its way in.
type Put struct {
	Repository string
	MediaType  string
	Raw        []byte
	Files      Files // of Repository
	// May is asked of what is admitted before anybody looks into a patch, which
	// costs more than all the rest; nil: it may come in.
	May func(*Admission) error
}

// An Admission is what may come in.
type Admission struct {
	Manifest *state.Manifest
	// Bundle is the Sigstore bundle the manifest carries, whole and verified;
	// nil: none.
	Bundle *Bundle
	// Look is what was found in a live patch; nil: nothing new.
	Look *Look
}

// A Bundle is a verified bundle about a manifest of the repository.
type Bundle struct {
	Raw      []byte
	Evidence *verify.Evidence
	// Counts tells a statement of a type that decisions are made on, by
	// someone with the role for it, from one of an unknown type, which is kept
	// and never is evidence.
	Counts bool
}

// An Admitter admits by what a [state.State] knows. It is safe for concurrent
// use.
type Admitter struct {
	state   *state.State
	looking sync.Mutex // into one patch at a time
}

// New returns an Admitter.
func New(s *state.State) *Admitter { return &Admitter{state: s} }

// Manifest admits a manifest or returns a [*verify.Refusal]. Other errors mean
// that it could not be found out.
func (a *Admitter) Manifest(p Put) (*Admission, error) {
	product, ok := a.state.Product(p.Repository)
	if !ok {
		return nil, refuse(verify.ForbiddenRole, "no product lives in repository %s", p.Repository)
	}
	m, err := read(p)
	if err != nil {
		return nil, err
	}
	if a.crowded(m) {
		return nil, ErrTooMany
	}
	if err := a.whole(m); err != nil {
		return nil, err
	}
	admission := &Admission{Manifest: m}
	if isBundle(m) {
		admission.Bundle, err = a.bundle(product, m, p)
	} else {
		err = a.artifact(m, p)
	}
	if err != nil {
		return nil, err
	}
	if p.May != nil {
		if err := p.May(admission); err != nil {
			return nil, err
		}
	}
	if m.Type == attest.ArtifactPatch && !isBundle(m) {
		if admission.Look, err = a.look(m, p); err != nil {
			return nil, err
		}
	}
	return admission, nil
}

// read reads the manifest by itself.
func read(p Put) (*state.Manifest, error) {
	m, err := state.ParseManifest(p.Raw, p.MediaType)
	if err != nil {
		return nil, corrupt("manifest: %v", err)
	}
	m.Repository = p.Repository
	limit := maxForeignNote
	if isBundle(m) || isOurs(m) {
		limit = maxNote
		if err := plain(m, p.Raw); err != nil {
			return nil, err
		}
	}
	if err := legible(p.Raw, limit); err != nil {
		return nil, err
	}
	return m, nil
}

// plain asks of what decisions are made on that it is small and names all its
// parts by the one digest that statements are about.
func plain(m *state.Manifest, raw []byte) error {
	if len(raw) > MaxArtifact {
		return corrupt("manifest of %d bytes exceeds the limit of %d", len(raw), MaxArtifact)
	}
	if len(m.Annotations) > maxNotes {
		return corrupt("/annotations: %d, want at most %d", len(m.Annotations), maxNotes)
	}
	if m.SubjectName != "" && m.Subject == "" {
		return corrupt("/subject/digest: %.20s..., want a sha256", m.SubjectName)
	}
	for i, l := range m.Layers {
		switch {
		case l.Foreign():
			return corrupt("/layers/%d/urls: an artifact of this type is wholly here and points nowhere else", i)
		case l.Digest == "":
			return corrupt("/layers/%d/digest: %.20s..., want a sha256", i, l.Name)
		}
	}
	return nil
}

// A MissingError reports that a part of a manifest is not in its repository.
type MissingError struct {
	What       string // "blob" or "manifest"
	Name       string // its digest, as the manifest names it
	Repository string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s %s is not in %s", e.What, e.Name, e.Repository)
}

// whole asks that every part of a manifest is there and as large as it says.
func (a *Admitter) whole(m *state.Manifest) error {
	parts := m.Layers
	if m.Config != nil {
		parts = append([]state.Descriptor{*m.Config}, parts...)
	}
	for _, part := range parts {
		b, ok := a.blob(m.Repository, part)
		switch {
		case !ok && !part.Foreign():
			return &MissingError{"blob", part.Name, m.Repository}
		case ok && b.Size != part.Size:
			return corrupt("blob %s has %d bytes, the manifest says %d", part.Name, b.Size, part.Size)
		}
	}
	for _, child := range m.Manifests {
		d := child.Digest
		if d == "" {
			d, _ = a.state.Resolve(m.Repository, child.Name)
		}
		if _, ok := a.state.Manifest(m.Repository, d); !ok {
			return &MissingError{"manifest", child.Name, m.Repository}
		}
	}
	return nil
}

func (a *Admitter) blob(repository string, named state.Descriptor) (state.Blob, bool) {
	d := named.Digest
	if d == "" {
		d, _ = a.state.Resolve(repository, named.Name)
	}
	return a.state.Blob(repository, d)
}

// crowded reports whether a new manifest would be one too many.
func (a *Admitter) crowded(m *state.Manifest) bool {
	if m.SubjectName == "" {
		return false
	}
	if _, known := a.state.Manifest(m.Repository, m.Artifact.Manifest); known {
		return false
	}
	return len(a.state.Referrers(m.Repository, m.SubjectName)) >= MaxReferrers
}

// refuse is for what is wrong and has the reason's usual remedy.
func refuse(reason verify.Reason, format string, args ...any) *verify.Refusal {
	return &verify.Refusal{Reason: reason, Fact: fmt.Sprintf(format, args...), Remedy: reason.Remedy()}
}

func corrupt(format string, args ...any) *verify.Refusal {
	return refuse(verify.Corrupt, format, args...)
}
