package trust

import (
	"context"
	"fmt"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
)

// changeJournals drops and adds the keys that servers seal their journals with.
func (t *trustChanges) changeJournals(ctx context.Context, p *attest.TrustPolicy) error {
	for _, path := range t.noJournals {
		k, err := shell.ReadPublic(ctx, path)
		if err != nil {
			return err
		}
		i := slices.Index(p.Journals, k.Base64())
		if i < 0 {
			return fmt.Errorf("the trust policy names no journal's key that is %s", path)
		}
		if p.Journals = slices.Delete(p.Journals, i, i+1); len(p.Journals) == 0 {
			p.Journals = nil
		}
	}
	for _, path := range t.journals {
		k, err := shell.ReadPublic(ctx, path)
		if err != nil {
			return err
		}
		if !slices.Contains(p.Journals, k.Base64()) {
			p.Journals = append(p.Journals, k.Base64())
		}
	}
	return nil
}
