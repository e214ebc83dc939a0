package rekorv1

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"time"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	rekorverify "github.com/sigstore/rekor/pkg/verify"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
)

// logged verifies what the log said of body, the entry as we built it.
func (v *Verifier) logged(b *Bundle, body []byte, certificate *x509.Certificate) (*Entry, *Refusal) {
	id := hex.EncodeToString(b.entry.GetLogId().GetKeyId())
	log, ok := v.logs[id]
	if !ok {
		return nil, refuse(UnknownLog, "the trusted root has no log %s", id)
	}
	verifier, err := signature.LoadVerifier(log.PublicKey, log.SignatureHashFunc)
	if err != nil {
		return nil, refuse(UnknownLog, "key of log %s: %v", id, err)
	}
	if refusal := b.enough(); refusal != nil {
		return nil, refusal
	}
	e := &Entry{
		proven: true, Kind: b.head.Kind, Version: b.head.APIVersion, LogID: id, LogURL: log.BaseURL,
		LogIndex: -1, TreeIndex: -1, log: log,
	}
	anon := anonymous(b.entry, id, body)
	if b.entry.GetInclusionProof() != nil {
		if refusal := included(anon, verifier); refusal != nil {
			return nil, refusal
		}
		e.TreeIndex, e.TreeSize = b.entry.GetInclusionProof().GetLogIndex(), b.entry.GetInclusionProof().GetTreeSize()
	}
	if b.promised() {
		if refusal := promised(anon, log, verifier, certificate); refusal != nil {
			return nil, refusal
		}
		e.LogIndex, e.Integrated = b.entry.GetLogIndex(), time.Unix(b.entry.GetIntegratedTime(), 0).UTC()
	}
	return e, nil
}

func (b *Bundle) promised() bool {
	return len(b.entry.GetInclusionPromise().GetSignedEntryTimestamp()) > 0
}

// enough asks for what the bundle's version asks for. A proof without a
// checkpoint proves nothing, as whoever made it chose the root.
func (b *Bundle) enough() *Refusal {
	proof := b.entry.GetInclusionProof()
	switch {
	case proof != nil && proof.GetCheckpoint().GetEnvelope() == "":
		return refuse(NoProof, "the inclusion proof has no checkpoint")
	case b.first && !b.promised():
		return refuse(NoProof, "no inclusion promise, which a bundle of v0.1 has to have")
	case !b.first && proof == nil:
		return refuse(NoProof, "no inclusion proof, which a bundle of v0.2 and later has to have")
	}
	return nil
}

// anonymous is the entry as Rekor v1's API gives it, around body.
func anonymous(e *rekor.TransparencyLogEntry, id string, body []byte) *models.LogEntryAnon {
	p := e.GetInclusionProof()
	rootHash, index, size := hex.EncodeToString(p.GetRootHash()), p.GetLogIndex(), p.GetTreeSize()
	checkpoint := p.GetCheckpoint().GetEnvelope()
	var hashes []string
	for _, h := range p.GetHashes() {
		hashes = append(hashes, hex.EncodeToString(h))
	}
	logIndex, integrated := e.GetLogIndex(), e.GetIntegratedTime()
	return &models.LogEntryAnon{
		Body: base64.StdEncoding.EncodeToString(body), LogID: &id, LogIndex: &logIndex, IntegratedTime: &integrated,
		Verification: &models.LogEntryAnonVerification{
			InclusionProof:       &models.InclusionProof{Checkpoint: &checkpoint, Hashes: hashes, LogIndex: &index, RootHash: &rootHash, TreeSize: &size},
			SignedEntryTimestamp: e.GetInclusionPromise().GetSignedEntryTimestamp(),
		},
	}
}

// included verifies that the entry is in a tree the log signed. Rekor compares
// the roots of proof and checkpoint, not their sizes; a root alone does not say
// of how many leaves it is.
func included(e *models.LogEntryAnon, verifier signature.Verifier) *Refusal {
	p := e.Verification.InclusionProof
	var checkpoint util.SignedCheckpoint
	if err := checkpoint.UnmarshalText([]byte(*p.Checkpoint)); err != nil {
		return refuse(BadCheckpoint, "%v", err)
	}
	rootHash, err := hex.DecodeString(*p.RootHash)
	if err != nil {
		return refuse(Malformed, "root hash: %v", err)
	}
	if checkpoint.Size != uint64(*p.TreeSize) || !bytes.Equal(checkpoint.Hash, rootHash) {
		return refuse(OtherCheckpoint, "the proof is of %d leaves with root %s, the checkpoint of %d with root %x", *p.TreeSize, *p.RootHash, checkpoint.Size, checkpoint.Hash)
	}
	if err := rekorverify.VerifyCheckpointSignature(e, verifier); err != nil {
		return refuse(BadCheckpoint, "%v", err)
	}
	if err := rekorverify.VerifyInclusion(context.Background(), e); err != nil {
		return refuse(BadProof, "%v", err)
	}
	return nil
}

// promised verifies the log's signature over entry, index and time, and that
// the time lies where log key and certificate count.
func promised(e *models.LogEntryAnon, log *root.TransparencyLog, verifier signature.Verifier, certificate *x509.Certificate) *Refusal {
	if err := rekorverify.VerifySignedEntryTimestamp(context.Background(), e, verifier); err != nil {
		return refuse(BadPromise, "%v", err)
	}
	t := time.Unix(*e.IntegratedTime, 0).UTC()
	if *e.IntegratedTime <= 0 {
		return refuse(BadPromise, "the log promised the entry for no time")
	}
	if refusal := inWindow(log, t); refusal != nil {
		return refusal
	}
	if c := certificate; c != nil && (t.Before(c.NotBefore) || t.After(c.NotAfter)) {
		return refuse(CertificateExpired, "the log took the entry at %s, the certificate is valid from %s to %s", stamp(t), stamp(c.NotBefore), stamp(c.NotAfter))
	}
	return nil
}

// inWindow asks that the log's key counts at t. A root that gives it no start
// does not make it count for ever.
func inWindow(log *root.TransparencyLog, t time.Time) *Refusal {
	from, to := log.ValidityPeriodStart, log.ValidityPeriodEnd
	if from.IsZero() || t.Before(from) || !to.IsZero() && t.After(to) {
		return refuse(LogKeyExpired, "entry of %s; the trusted root has the log's key valid from %s to %s", stamp(t), stamp(from), stamp(to))
	}
	return nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "(none)"
	}
	return t.UTC().Format(time.RFC3339)
}
