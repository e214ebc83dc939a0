package verify

import (
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// Since verifies the place in a log from which on a revocation says a key
// counts no more: its checkpoint is signed by a log the trust policy names,
// cosigned by the witnesses it asks for, and of a log that had come as far.
// There is nothing to verify where r names no place. The error is nil or a
// *[Refusal].
func (v *Verifier) Since(r *attest.Revocation) error {
	if _, refusal := v.since(r); refusal != nil {
		return refusal
	}
	return nil
}

func (v *Verifier) since(r *attest.Revocation) (*since, *Refusal) {
	if r.Since == nil {
		return nil, nil
	}
	raw := []byte(r.Since.Checkpoint)
	cp, err := ledger.OpenCheckpoint(raw, v.logs)
	if err != nil {
		return nil, refuse(NotLogged, "/predicate/since/checkpoint: %v", err)
	}
	if v.witnesses != nil {
		if _, err := v.witnesses.Check(raw); err != nil {
			return nil, refuse(NotLogged, "/predicate/since/checkpoint: %v", err)
		}
	}
	if r.Since.LogIndex < 0 || uint64(r.Since.LogIndex) > cp.Size {
		return nil, refuse(NotLogged, "/predicate/since/logIndex: %d, and the log had %d entries then", r.Since.LogIndex, cp.Size)
	}
	return &since{cp.Origin, r.Since.LogIndex}, nil
}

// origin returns the name of the log that a verified bundle is proven to be in:
// the first line of the checkpoint it is proven against.
func origin(b *attest.Bundle) string {
	entry := b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0]
	name, _, _ := strings.Cut(entry.GetInclusionProof().GetCheckpoint().GetEnvelope(), "\n")
	return name
}
