package admit

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// maxLock is the largest lock of a builder image (docs/spec/builder.md).
const maxLock = 8 << 20

// inputs admits what a builder image was made from: the lock as its config, and
// the files that the lock names. It says nothing: whoever makes the image again
// holds every file to the lock, and the image to the one this is attached to.
func (a *Admitter) inputs(m *state.Manifest) error {
	if err := isManifest(m); err != nil {
		return err
	}
	if m.ConfigMediaType != attest.MediaLock {
		return corrupt("/config/mediaType: %.80q, want %s", m.ConfigMediaType, attest.MediaLock)
	}
	if m.Config.Size > maxLock {
		return corrupt("/config: %d bytes exceed the limit of %d", m.Config.Size, maxLock)
	}
	if len(m.Layers) == 0 {
		return corrupt("/layers: none, want the files that the lock names")
	}
	for i, l := range m.Layers {
		if l.Size == 0 {
			return corrupt("/layers/%d: is empty", i)
		}
	}
	image, ok := a.state.Manifest(m.Repository, m.Subject)
	if !ok || image.Config == nil || isOurs(image) || isBundle(image) {
		return refuse(verify.SubjectMismatch, "/subject: %s is no image in this repository; push the builder image first", orNone(m.Subject))
	}
	return nil
}
