package trust

import (
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
)

// acceptBases says which bases of fit products accept. What they are called,
// the policy's own parser asks.
func (t *trustChanges) acceptBases(p *attest.TrustPolicy) error {
	for _, s := range t.fitBases {
		name, list, err := shell.Pair(s, "PRODUCT=environment,vendor")
		if err != nil {
			return err
		}
		i, err := findProduct(p, name)
		if err != nil {
			return err
		}
		p.Products[i].FitBases = strings.Split(list, ",")
	}
	return nil
}
