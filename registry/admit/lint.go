package admit

import (
	"bytes"
	"fmt"

	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// Limits of what is looked into: both files are in memory meanwhile, those of
// one patch at a time.
const (
	maxLintPatch = 64 << 20
	maxLintBase  = 256 << 20
	maxLintDebug = 64 << 20
)

// A Look is what was found in a live patch on its way in.
type Look struct {
	Report *lint.Report
	Raw    []byte // its canonical form
}

// look looks into a patch and its base, and refuses what contradicts itself:
// then neither can be what the other is said to be for. What was looked into
// already by the same rules is not again, and nil; so is what is neither ELF
// nor libcare, about which there is nothing to find.
func (a *Admitter) look(m *state.Manifest, p Put) (*Look, error) {
	have := a.state.Lint(p.Repository, m.Artifact.Manifest)
	if have != nil && have.Linter == lint.Version || m.FileSize > maxLintPatch {
		return nil, nil
	}
	a.looking.Lock()
	defer a.looking.Unlock()
	raw, err := p.read("/layers/0", m.Layers[0], maxLintPatch)
	if err != nil {
		return nil, err
	}
	if !lint.Knows(bytes.NewReader(raw)) {
		return nil, nil
	}
	o := &lint.Options{MaxDebug: maxLintDebug}
	base, err := a.baseFile(m, p, o)
	if err != nil {
		return nil, err
	}
	r, err := lint.Look(lint.File{Reader: bytes.NewReader(raw), Size: int64(len(raw))}, base, o)
	if err != nil {
		return nil, err
	}
	if c := r.Contradiction(); c != nil {
		return nil, &verify.Refusal{Reason: verify.BaseMismatch, Fact: fmt.Sprintf("lint %s: %s", c.ID, c.Fact), Remedy: c.Next}
	}
	canonical, err := strictjson.Canonical(r)
	if err != nil {
		return nil, err
	}
	return &Look{r, canonical}, nil
}

// baseFile returns the file of the base that a patch is attached to; nil, with
// the reason in o, where it is not looked into.
func (a *Admitter) baseFile(m *state.Manifest, p Put, o *lint.Options) (*lint.File, error) {
	base, ok := a.state.Manifest(p.Repository, m.Subject)
	switch {
	case !ok || base.File == "":
		o.NoBase = "the base is not in the repository"
		return nil, nil
	case base.FileSize > maxLintBase:
		o.NoBase = fmt.Sprintf("the base has %d bytes, and at most %d are looked into here", base.FileSize, maxLintBase)
		return nil, nil
	}
	raw, err := p.Files.File(base.File, maxLintBase)
	if err != nil {
		return nil, err
	}
	return &lint.File{Reader: bytes.NewReader(raw), Size: int64(len(raw))}, nil
}
