package attest

import (
	"bytes"
	"encoding/asn1"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Bundle is a Sigstore bundle v0.3 by a key or a certificate, parsed.
// Nothing in it is verified, and of what surrounds the envelope only what
// package verify returns may be shown or indexed: the log index, the log entry
// and the hint here are whatever the sender wrote.
type Bundle struct {
	Raw       []byte // as it came
	Envelope  *Envelope
	Statement *Statement
	KeyHint   string // where to look for the key, a claim; "" with a certificate
	// Certificate is whose key signed, it says; nil with a key.
	Certificate *Certificate
	Sigstore    *bundle.Bundle // the same bundle for sigstore-go's verifier
}

// NewBundle puts together a bundle: envelope is a DSSE envelope of an in-toto
// statement with one signature, by c; entry the log's answer for it; timestamp
// the DER of an RFC 3161 response over the signature. The key id of the
// envelope is left out, because Sigstore verifiers skip ids of other schemes.
func NewBundle(envelope []byte, c Credential, entry *rekor.TransparencyLogEntry, timestamp []byte) ([]byte, error) {
	e, err := ParseEnvelope(envelope, PayloadType)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	if err := e.Verify(keyOf(c)); err != nil {
		return nil, err
	}
	material := &protobundle.VerificationMaterial{
		TlogEntries: []*rekor.TransparencyLogEntry{entry},
		TimestampVerificationData: &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: timestamp}},
		},
	}
	if cert, ok := c.(*Certificate); ok {
		material.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert.DER()}}
	} else {
		material.Content = &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: keyOf(c).Hint()}}
	}
	raw, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: ArtifactBundle, VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: withoutKeyIDs(protoEnvelope(e))},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding bundle: %w", err)
	}
	// The canonical form, because protojson varies its spaces on purpose.
	if raw, err = strictjson.Canonicalize(raw); err != nil {
		return nil, err
	}
	if _, err := ParseBundle(raw); err != nil {
		return nil, fmt.Errorf("bundle would be refused: %w", err)
	}
	return raw, nil
}

func protoEnvelope(e *Envelope) *protodsse.Envelope {
	p := &protodsse.Envelope{PayloadType: e.PayloadType, Payload: e.Payload}
	for _, s := range e.Signatures {
		p.Signatures = append(p.Signatures, &protodsse.Signature{Keyid: s.KeyID, Sig: s.Sig})
	}
	return p
}

func withoutKeyIDs(p *protodsse.Envelope) *protodsse.Envelope {
	for _, s := range p.Signatures {
		s.Keyid = ""
	}
	return p
}

// ParseBundle reads a bundle of at most [MaxBundle] bytes: exactly v0.3, a
// public key hint or a certificate, an in-toto envelope with one signature, one hashedrekord
// 0.0.2 log entry with an inclusion proof that repeats its checkpoint, and at
// least one RFC 3161 timestamp.
func ParseBundle(b []byte) (*Bundle, error) {
	var w wireBundle
	if err := strictjson.Unmarshal(b, MaxBundle, &w); err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	e, err := ParseEnvelope(w.DSSEEnvelope, PayloadType)
	if err != nil {
		return nil, strictjson.Under("/dsseEnvelope", err)
	}
	if n := len(e.Signatures); n != 1 {
		return nil, spot("/dsseEnvelope/signatures").errorf("%d signatures, want 1 in a bundle", n)
	}
	s, err := ParseStatement(e.Payload)
	if err != nil {
		return nil, strictjson.Under("/dsseEnvelope/payload", err)
	}
	sb, err := bundle.NewBundle(w.proto(e))
	if err != nil {
		return nil, fmt.Errorf("sigstore bundle: %w", err)
	}
	parsed := &Bundle{Raw: bytes.Clone(b), Envelope: e, Statement: s, Sigstore: sb}
	if w.Material.Certificate == nil {
		parsed.KeyHint = w.Material.PublicKey.Hint
		return parsed, nil
	}
	if parsed.Certificate, err = ParseCertificate(checkedBase64(w.Material.Certificate.RawBytes)); err != nil {
		return nil, spot("/verificationMaterial/certificate/rawBytes").errorf("%v", err)
	}
	return parsed, nil
}

// isDER reports whether b is one DER sequence and nothing else.
func isDER(b []byte) bool {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(b, &v)
	return err == nil && len(rest) == 0 && v.Class == asn1.ClassUniversal && v.Tag == asn1.TagSequence
}
