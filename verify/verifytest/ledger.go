package verifytest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/digitorus/timestamp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/sigstore/pkg/signature"
	checkpoints "github.com/transparency-dev/formats/log"
	sumnote "golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Bundle returns the bundle of statement, signed by s, logged and timestamped.
func (a *Authority) Bundle(statement []byte, s *Signer) []byte {
	a.t.Helper()
	return a.BundleOf(a.Envelope(statement, s), s.credential())
}

func (s *Signer) credential() attest.Credential {
	if s.Certificate != nil {
		return s.Certificate
	}
	return s.Key
}

// BundleOf returns the bundle of an envelope that by signed.
func (a *Authority) BundleOf(envelope []byte, by attest.Credential) []byte {
	a.t.Helper()
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err != nil {
		a.t.Fatalf("envelope: %v", err)
	}
	b, err := attest.NewBundle(envelope, by, a.Log(e, by), a.Timestamp(e.Signatures[0].Sig))
	if err != nil {
		a.t.Fatalf("bundle: %v", err)
	}
	return b
}

// Unchecked returns a bundle of any payload at all, signed by s, logged and
// timestamped, although its parser would refuse it: what a signer can make who
// does not use this code.
func (a *Authority) Unchecked(payload []byte, s *Signer) []byte {
	a.t.Helper()
	e := &attest.Envelope{PayloadType: attest.PayloadType, Payload: payload}
	sig, err := s.SignMessage(bytes.NewReader(e.PAE()))
	if err != nil {
		a.t.Fatalf("signing as %s: %v", s.Name, err)
	}
	e.Signatures = []attest.Signature{{Sig: sig}}
	raw, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: attest.ArtifactBundle,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content:     &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: s.Key.Hint()}},
			TlogEntries: []*rekor.TransparencyLogEntry{a.Log(e, s.Key)},
			TimestampVerificationData: &protobundle.TimestampVerificationData{
				Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: a.Timestamp(sig)}},
			},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: e.PayloadType, Payload: payload, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	})
	if err != nil {
		a.t.Fatalf("encoding a bundle: %v", err)
	}
	raw, err = strictjson.Canonicalize(raw)
	if err != nil {
		a.t.Fatalf("encoding a bundle: %v", err)
	}
	return raw
}

// Log adds the leaf of e, signed once, by by, and returns the entry with a
// proof against a checkpoint of the tree as it then is.
func (a *Authority) Log(e *attest.Envelope, by attest.Credential) *rekor.TransparencyLogEntry {
	a.t.Helper()
	body, err := leaf(e, by)
	if err != nil {
		a.t.Fatalf("log entry: %v", err)
	}
	index := a.tree.Size()
	a.tree.AppendData(body)
	hashes, err := a.tree.InclusionProof(index, a.tree.Size())
	if err != nil {
		a.t.Fatalf("inclusion proof: %v", err)
	}
	_, id, err := note.KeyHash(Origin, a.logKey.Public())
	if err != nil {
		a.t.Fatalf("log id: %v", err)
	}
	return &rekor.TransparencyLogEntry{
		LogIndex: int64(index), LogId: &protocommon.LogId{KeyId: id},
		KindVersion:       &rekor.KindVersion{Kind: "hashedrekord", Version: "0.0.2"},
		CanonicalizedBody: body,
		InclusionProof: &rekor.InclusionProof{
			LogIndex: int64(index), TreeSize: int64(a.tree.Size()), RootHash: a.tree.Hash(), Hashes: hashes,
			Checkpoint: &rekor.Checkpoint{Envelope: a.checkpoint()},
		},
	}
}

// leaf is what Rekor v2 puts into its log for e.
func leaf(e *attest.Envelope, by attest.Credential) ([]byte, error) {
	key := by.SigningKey()
	pub, err := x509.ParsePKIXPublicKey(key.DER())
	if err != nil {
		return nil, err
	}
	details, err := signature.GetDefaultPublicKeyDetails(pub)
	if err != nil {
		return nil, err
	}
	algorithms, err := signature.NewAlgorithmRegistryConfig([]protocommon.PublicKeyDetails{details})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(e.PAE())
	verifier := &pb.Verifier{Verifier: &pb.Verifier_PublicKey{PublicKey: &pb.PublicKey{RawBytes: key.DER()}}, KeyDetails: details}
	if cert, ok := by.(*attest.Certificate); ok {
		verifier.Verifier = &pb.Verifier_X509Certificate{X509Certificate: &protocommon.X509Certificate{RawBytes: cert.DER()}}
	}
	entry, err := hashedrekord.ToLogEntry(&pb.HashedRekordRequestV002{
		Digest:    digest[:],
		Signature: &pb.Signature{Content: e.Signatures[0].Sig, Verifier: verifier},
	}, algorithms)
	if err != nil {
		return nil, err
	}
	b, err := protojson.Marshal(entry)
	if err != nil {
		return nil, err
	}
	return jsoncanonicalizer.Transform(b)
}

func (a *Authority) checkpoint() string {
	s, err := signature.LoadED25519Signer(a.logKey)
	if err != nil {
		a.t.Fatalf("log key: %v", err)
	}
	signer, err := note.NewNoteSigner(context.Background(), Origin, s)
	if err != nil {
		a.t.Fatalf("log key: %v", err)
	}
	cp := checkpoints.Checkpoint{Origin: Origin, Size: a.tree.Size(), Hash: a.tree.Hash()}
	signed, err := sumnote.Sign(&sumnote.Note{Text: string(cp.Marshal())}, append([]sumnote.Signer{signer}, a.Witnesses...)...)
	if err != nil {
		a.t.Fatalf("checkpoint: %v", err)
	}
	return string(signed)
}

// Timestamp returns the DER of an RFC 3161 response over sig, at a.Now.
func (a *Authority) Timestamp(sig []byte) []byte {
	a.t.Helper()
	digest := sha256.Sum256(sig)
	ts := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Time: a.Now,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, AddTSACertificate: true,
	}
	der, err := ts.CreateResponseWithOpts(a.chain[0], a.tsaKey, crypto.SHA256)
	if err != nil {
		a.t.Fatalf("timestamp: %v", err)
	}
	return der
}

// newTSA makes the chain of a timestamp authority: its own certificate, whose
// one extended key usage is critical (RFC 3161, section 2.3), and a root.
func (a *Authority) newTSA() (*ecdsa.PrivateKey, []*x509.Certificate) {
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		a.t.Fatalf("timestamp authority: %v", err)
	}
	rootKey, key := a.newKey(), a.newKey()
	root := a.certificate(&x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, rootKey, rootKey)
	own := a.certificate(&x509.Certificate{
		SerialNumber: big.NewInt(2), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, root, rootKey, key)
	return key, []*x509.Certificate{own, root}
}

func (a *Authority) certificate(tmpl, parent *x509.Certificate, parentKey, key *ecdsa.PrivateKey) *x509.Certificate {
	tmpl.Subject = pkix.Name{CommonName: fmt.Sprintf("verifytest timestamps %d", tmpl.SerialNumber), Organization: []string{"verifytest"}}
	tmpl.NotBefore, tmpl.NotAfter = Epoch.AddDate(-1, 0, 0), Epoch.AddDate(10, 0, 0)
	if parent == nil {
		parent = tmpl
	}
	return a.issue(tmpl, parent, parentKey, key)
}
