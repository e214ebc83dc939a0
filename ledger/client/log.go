package client

import (
	"bytes"
	"context"
	"fmt"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// Log logs envelope, a DSSE envelope of a statement with one signature, by the key or certificate,
// and returns its entry. An envelope that is logged already is not logged
// again; the entry has a fresh proof.
func (c *Client) Log(ctx context.Context, envelope []byte, by attest.Credential) (*rekor.TransparencyLogEntry, error) {
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return c.logEnvelope(ctx, e, by)
}

func (c *Client) logEnvelope(ctx context.Context, e *attest.Envelope, by attest.Credential) (*rekor.TransparencyLogEntry, error) {
	leaf, err := ledger.Leaf(e, by)
	if err != nil {
		return nil, err
	}
	body, err := protojson.Marshal(&pb.CreateEntryRequest{
		Spec: &pb.CreateEntryRequest_HashedRekordRequestV002{HashedRekordRequestV002: leaf},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the log entry: %w", err)
	}
	answer, err := c.post(ctx, post{ledger.EntriesPath, "application/json", body, maxAnswer})
	if err != nil {
		return nil, fmt.Errorf("logging: %w", err)
	}
	entry := new(rekor.TransparencyLogEntry)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer, entry); err != nil {
		return nil, fmt.Errorf("logging: %w: %w", ErrBadAnswer, err)
	}
	if err := checkEntry(entry, e, by); err != nil {
		return nil, fmt.Errorf("logging: %w: %w", ErrBadAnswer, err)
	}
	return entry, nil
}

// checkEntry returns nil if entry is e's and its proof holds for the root it
// names.
func checkEntry(entry *rekor.TransparencyLogEntry, e *attest.Envelope, by attest.Credential) error {
	want, err := ledger.EntryBody(e, by)
	if err != nil {
		return err
	}
	if !bytes.Equal(entry.GetCanonicalizedBody(), want) {
		return fmt.Errorf("entry %d is another's", entry.GetLogIndex())
	}
	p := entry.GetInclusionProof()
	if entry.GetLogIndex() < 0 || p.GetTreeSize() < 0 || p.GetLogIndex() != entry.GetLogIndex() {
		return fmt.Errorf("entry %d has a proof for %d of %d", entry.GetLogIndex(), p.GetLogIndex(), p.GetTreeSize())
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.GetLogIndex()), uint64(p.GetTreeSize()),
		ledger.EntryHash(want), p.GetHashes(), p.GetRootHash())
}
