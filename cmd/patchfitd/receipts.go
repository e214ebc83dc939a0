package main

import (
	"context"
	"crypto"
	"fmt"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/registry/control"
)

// receipts makes receipts of what the journal has. The index says where; what it
// says of a decision is not signed.
func (h *house) receipts(x *index.Index, baseURL string) (*control.Receipts, error) {
	signer, err := signature.LoadSigner(h.keys.receipts, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyReceipts, err)
	}
	_, registry, _ := strings.Cut(baseURL, "://")
	return &control.Receipts{
		Registry: registry, Signer: signer,
		Decision: func(ctx context.Context, id string) (control.Decision, bool, error) {
			h.catchUp(ctx, x)
			sequence, ok, err := x.FindDecision(ctx, id)
			if err != nil || !ok {
				return control.Decision{}, false, err
			}
			return h.decisionAt(sequence, id)
		},
	}, nil
}

// decisionAt reads one decision out of the journal.
func (h *house) decisionAt(sequence int64, id string) (control.Decision, bool, error) {
	for r, err := range h.journal.Records(sequence) {
		if err != nil {
			return control.Decision{}, false, err
		}
		d, err := ledger.Decode[ledger.Decided](r)
		if err != nil || r.Sequence != sequence || d.Decision != id {
			return control.Decision{}, false, fmt.Errorf("record %d of the journal is not decision %s: the index is of another journal (patchfitd reindex makes it again)", sequence, id)
		}
		return control.Decision{Time: r.Time, Decided: d}, true, nil
	}
	return control.Decision{}, false, nil
}
