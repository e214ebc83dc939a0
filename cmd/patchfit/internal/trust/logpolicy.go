package trust

import (
	"fmt"
	"os"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// takeLogPolicy pins the witnesses of a tlog-policy, or none any more.
func (t *trustChanges) takeLogPolicy(p *attest.TrustPolicy) error {
	switch t.logPolicy {
	case "":
		return nil
	case quorum.None:
		p.LogPolicy = ""
		return nil
	}
	b, err := os.ReadFile(t.logPolicy)
	if err != nil {
		return fmt.Errorf("reading the tlog-policy: %w", err)
	}
	if _, err := quorum.Parse(b); err != nil {
		return exit.Hint(fmt.Errorf("%s: %w", t.logPolicy, err), "see docs/spec/witness.md; begin one with: patchfit witness policy")
	}
	p.LogPolicy = string(b)
	return nil
}
