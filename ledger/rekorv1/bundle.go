package rekorv1

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Limits. An honest entry holds hashes, one signature and one certificate, and
// in old logs a statement.
const (
	maxBody       = 128 << 10
	maxCheckpoint = 8 << 10
	maxHashes     = 64 // a tree of 2^64 leaves
	maxSignature  = 4 << 10
	maxKey        = 32 << 10
)

// A Bundle is a Sigstore bundle with one log entry, parsed. Nothing in it is
// verified.
type Bundle struct {
	proto *protobundle.Bundle
	entry *rekor.TransparencyLogEntry
	head  head
	first bool // v0.1, which asks for a promise; later ones ask for a proof
}

// A head is what every entry says of itself, of Rekor v1 as of v2.
type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// versions are the bundle media types that are read: true for v0.1.
func versions() map[string]bool {
	const base = "application/vnd.dev.sigstore.bundle"
	return map[string]bool{
		base + "+json;version=0.1": true, base + ".v0.1+json": true,
		base + "+json;version=0.2": false, base + ".v0.2+json": false,
		base + "+json;version=0.3": false, base + ".v0.3+json": false,
	}
}

// Parse reads a bundle of at most [attest.MaxBundle] bytes that has one log
// entry, of Rekor v1 or v2. The error is always a *[Refusal].
func Parse(raw []byte) (*Bundle, error) {
	b, refusal := parse(raw)
	if refusal != nil {
		return nil, refusal
	}
	return b, nil
}

func parse(raw []byte) (*Bundle, *Refusal) {
	if len(raw) > attest.MaxBundle {
		return nil, refuse(TooLarge, "bundle of %d bytes exceeds the limit of %d", len(raw), attest.MaxBundle)
	}
	p := new(protobundle.Bundle)
	if err := protojson.Unmarshal(raw, p); err != nil {
		return nil, refuse(Malformed, "not a Sigstore bundle: %v", err)
	}
	first, known := versions()[p.GetMediaType()]
	if !known {
		return nil, refuse(Malformed, "mediaType %q is no bundle of v0.1 to v0.3", p.GetMediaType())
	}
	entries := p.GetVerificationMaterial().GetTlogEntries()
	if len(entries) == 0 {
		return nil, refuse(NoProof, "the bundle has no log entry")
	}
	if len(entries) > 1 {
		return nil, refuse(Malformed, "%d log entries, want 1", len(entries))
	}
	b := &Bundle{proto: p, entry: entries[0], first: first}
	if refusal := b.measure(); refusal != nil {
		return nil, refusal
	}
	if err := strictjson.UnmarshalForeign(b.entry.GetCanonicalizedBody(), maxBody, &b.head); err != nil {
		return nil, refuse(Malformed, "canonicalizedBody: %v", err)
	}
	return b, nil
}

// measure refuses what no log gives, before anything decodes it.
func (b *Bundle) measure() *Refusal {
	e, proof := b.entry, b.entry.GetInclusionProof()
	switch {
	case len(e.GetCanonicalizedBody()) == 0:
		return refuse(Malformed, "canonicalizedBody is missing")
	case len(e.GetCanonicalizedBody()) > maxBody:
		return refuse(TooLarge, "canonicalizedBody of %d bytes exceeds the limit of %d", len(e.GetCanonicalizedBody()), maxBody)
	case len(proof.GetHashes()) > maxHashes:
		return refuse(TooLarge, "inclusion proof of %d hashes exceeds the limit of %d", len(proof.GetHashes()), maxHashes)
	case len(proof.GetCheckpoint().GetEnvelope()) > maxCheckpoint:
		return refuse(TooLarge, "checkpoint of %d bytes exceeds the limit of %d", len(proof.GetCheckpoint().GetEnvelope()), maxCheckpoint)
	case len(e.GetInclusionPromise().GetSignedEntryTimestamp()) > maxSignature:
		return refuse(TooLarge, "signed entry timestamp of %d bytes exceeds the limit of %d", len(e.GetInclusionPromise().GetSignedEntryTimestamp()), maxSignature)
	case e.GetLogIndex() < 0 || proof.GetLogIndex() < 0 || proof.GetTreeSize() < 0 || e.GetIntegratedTime() < 0:
		return refuse(Malformed, "log index %d, index in the tree %d, tree size %d, time %d: one is negative", e.GetLogIndex(), proof.GetLogIndex(), proof.GetTreeSize(), e.GetIntegratedTime())
	}
	return nil
}

// RekorV2 reports whether the entry says of itself that it is of a Rekor v2
// log. Whoever verifies it as one, finds out whether that is so.
func (b *Bundle) RekorV2() bool { return b.head == head{"0.0.2", "hashedrekord"} }

// Body returns the entry as the bundle carries it: whatever the sender wrote.
func (b *Bundle) Body() []byte { return b.entry.GetCanonicalizedBody() }

// A signed is what a bundle signs, in the forms in which Rekor's types take it.
type signed struct {
	digest      string // of the artifact or, with an envelope, of its payload
	signature   []byte
	key         []byte            // PEM
	certificate *x509.Certificate // nil for a bare key
	envelope    []byte            // DSSE as JSON; nil for a bare signature
}

func (b *Bundle) signed(want Want) (*signed, *Refusal) {
	s := new(signed)
	if refusal := s.by(b.proto.GetVerificationMaterial(), want.Key); refusal != nil {
		return nil, refusal
	}
	switch content := b.proto.GetContent().(type) {
	case *protobundle.Bundle_MessageSignature:
		return s, s.message(content.MessageSignature, want.Digest)
	case *protobundle.Bundle_DsseEnvelope:
		return s, s.statement(content)
	}
	return nil, refuse(Malformed, "the bundle has neither a signature nor an envelope")
}

// by takes the leaf of a chain and no more: Rekor v1 logs hold leaves.
func (s *signed) by(material *protobundle.VerificationMaterial, key []byte) *Refusal {
	der := material.GetCertificate().GetRawBytes()
	if chain := material.GetX509CertificateChain().GetCertificates(); len(chain) > 0 {
		der = chain[0].GetRawBytes()
	}
	var err error
	switch {
	case len(der) > maxKey:
		return refuse(TooLarge, "certificate of %d bytes exceeds the limit of %d", len(der), maxKey)
	case len(der) > 0:
		if s.certificate, err = x509.ParseCertificate(der); err != nil {
			return refuse(Malformed, "certificate: %v", err)
		}
		s.key, err = cryptoutils.MarshalCertificateToPEM(s.certificate)
	case material.GetPublicKey() == nil:
		return refuse(Malformed, "the bundle has neither a certificate nor the hint of a key")
	case len(key) == 0:
		return refuse(NoKey, "the bundle is signed with a key, and none was given")
	default:
		s.key, err = canonicalKey(key)
	}
	if err != nil {
		return refuse(NoKey, "%v", err)
	}
	return nil
}

// canonicalKey returns a public key in the PEM that logs keep.
func canonicalKey(pem []byte) ([]byte, error) {
	if len(pem) > maxKey {
		return nil, fmt.Errorf("key of %d bytes exceeds the limit of %d", len(pem), maxKey)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, fmt.Errorf("the key given: %w", err)
	}
	return cryptoutils.MarshalPublicKeyToPEM(key)
}

// message takes the digest from the caller: the bundle's own is a hint.
func (s *signed) message(m *protocommon.MessageSignature, digest attest.Digest) *Refusal {
	if digest == "" {
		return refuse(OtherArtifact, "the bundle has a bare signature, and no artifact was given")
	}
	hint := m.GetMessageDigest()
	if hint != nil && hint.GetAlgorithm() != protocommon.HashAlgorithm_SHA2_256 {
		return refuse(OtherArtifact, "the bundle signs a %s digest, the artifact is known by its sha256", hint.GetAlgorithm())
	}
	if hint != nil && attest.DigestFromSum(hint.GetDigest()) != digest {
		return refuse(OtherArtifact, "the bundle says it signs sha256:%x, the artifact is %s", hint.GetDigest(), digest)
	}
	s.digest, s.signature = string(digest), m.GetSignature()
	return s.short()
}

func (s *signed) statement(content *protobundle.Bundle_DsseEnvelope) *Refusal {
	e := content.DsseEnvelope
	if n := len(e.GetSignatures()); n != 1 {
		return refuse(Malformed, "%d signatures, want 1 in an envelope", n)
	}
	sig := e.GetSignatures()[0]
	w := wireEnvelope{
		PayloadType: e.GetPayloadType(),
		Payload:     base64.StdEncoding.EncodeToString(e.GetPayload()),
		Signatures:  []wireSignature{{KeyID: sig.GetKeyid(), Sig: base64.StdEncoding.EncodeToString(sig.GetSig())}},
	}
	var err error
	if s.envelope, err = json.Marshal(w); err != nil {
		return refuse(Malformed, "envelope: %v", err)
	}
	s.digest, s.signature = string(attest.DigestOf(e.GetPayload())), sig.GetSig()
	return s.short()
}

func (s *signed) short() *Refusal {
	if n := len(s.signature); n == 0 || n > maxSignature {
		return refuse(Malformed, "signature of %d bytes", n)
	}
	return nil
}

// A wireEnvelope is a DSSE envelope as Rekor's types read it.
type wireEnvelope struct {
	PayloadType string          `json:"payloadType"`
	Payload     string          `json:"payload"`
	Signatures  []wireSignature `json:"signatures"`
}

type wireSignature struct {
	KeyID string `json:"keyid,omitempty"`
	Sig   string `json:"sig"`
}

// kind returns what the entry is, as people write it.
func (h head) kind() string { return strings.TrimSpace(h.Kind + " " + h.APIVersion) }
