package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/patchfit/patchfit/attest"
)

// ErrNoFile means that an artifact is not one file.
var ErrNoFile = errors.New("no base and no live patch: it has no one file to look into")

// File returns the one file of a base or a patch, of at most limit bytes.
func (s *Shelf) File(ctx context.Context, i *Item, limit int64) ([]byte, error) {
	if len(i.layers) != 1 || i.Type != attest.ArtifactBase && i.Type != attest.ArtifactPatch {
		return nil, fmt.Errorf("%s is %w", i.Manifest, ErrNoFile)
	}
	return s.repo.blob(ctx, i.layers[0], limit)
}
