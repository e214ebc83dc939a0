package attest

import (
	"bytes"
	"encoding/base64"
	"fmt"

	securedsse "github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// An Envelope is a DSSE v1 envelope, parsed. Its signatures are claims until
// [Envelope.Verify] has checked them.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature // 1 to 16
	Raw         []byte      // the envelope as it came
}

// A Signature is one signature of an envelope.
type Signature struct {
	KeyID string // a hint nobody signed: the hex of a key's ID, or ""
	Sig   []byte // over the PAE's sha256: ASN.1 DER of ECDSA, or RSA PKCS #1 v1.5
}

type wireEnvelope struct {
	Payload     string          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []wireSignature `json:"signatures"`
}

type wireSignature struct {
	KeyID string `json:"keyid,omitzero"`
	Sig   string `json:"sig"`
}

// SignEnvelope returns a DSSE envelope, as JSON, in which s signs payload and
// its type. s signs with ECDSA P-256 or RSA PKCS #1 v1.5, and sha256.
func SignEnvelope(payloadType string, payload []byte, s signature.Signer) ([]byte, error) {
	sig, err := sign(payloadType, payload, s)
	if err != nil {
		return nil, err
	}
	return encodeEnvelope(&Envelope{PayloadType: payloadType, Payload: payload, Signatures: []Signature{sig}})
}

// AddSignature returns envelope with one more signature, by s, over the same
// payload and type. A key that signed already is refused.
func AddSignature(envelope []byte, s signature.Signer) ([]byte, error) {
	e, err := parseEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	sig, err := sign(e.PayloadType, e.Payload, s)
	if err != nil {
		return nil, err
	}
	for _, have := range e.Signatures {
		if have.KeyID == sig.KeyID {
			return nil, fmt.Errorf("envelope is already signed by key %s", sig.KeyID)
		}
	}
	e.Signatures = append(e.Signatures, sig)
	return encodeEnvelope(e)
}

// sign makes one signature and checks it, so that a signer with another hash
// or a key that does not belong to it is found here.
func sign(payloadType string, payload []byte, s signature.Signer) (Signature, error) {
	pub, err := s.PublicKey()
	if err != nil {
		return Signature{}, fmt.Errorf("reading the signer's public key: %w", err)
	}
	key, err := NewPublicKey(pub)
	if err != nil {
		return Signature{}, err
	}
	raw, err := dsse.WrapSigner(s, payloadType).SignMessage(bytes.NewReader(payload))
	if err != nil {
		return Signature{}, fmt.Errorf("signing: %w", err)
	}
	e, err := parseEnvelope(raw)
	if err != nil {
		return Signature{}, fmt.Errorf("reading back the signed envelope: %w", err)
	}
	if err := e.Verify(key); err != nil {
		return Signature{}, fmt.Errorf("signer does not sign with the sha256 and the key it names: %w", err)
	}
	return Signature{KeyID: key.ID().Hex(), Sig: e.Signatures[0].Sig}, nil
}

// ParseEnvelope reads a DSSE envelope of at most [MaxEnvelope] bytes whose
// payload is of type payloadType.
func ParseEnvelope(b []byte, payloadType string) (*Envelope, error) {
	e, err := parseEnvelope(b)
	if err != nil {
		return nil, err
	}
	return sound(e, spot("/payloadType").oneOf(e.PayloadType, payloadType))
}

func parseEnvelope(b []byte) (*Envelope, error) {
	var w wireEnvelope
	if err := strictjson.Unmarshal(b, MaxEnvelope, &w); err != nil {
		return nil, err
	}
	if err := spot("/payloadType").line(w.PayloadType); err != nil {
		return nil, err
	}
	payload, err := decodeBase64(w.Payload)
	if err != nil {
		return nil, spot("/payload").errorf("%v", err)
	}
	if n := len(w.Signatures); n == 0 || n > maxSignatures {
		return nil, spot("/signatures").errorf("%d signatures, want 1 to %d", n, maxSignatures)
	}
	e := &Envelope{PayloadType: w.PayloadType, Payload: payload, Raw: bytes.Clone(b)}
	for i, s := range w.Signatures {
		sig, err := s.read(spot("/signatures").index(i))
		if err != nil {
			return nil, err
		}
		e.Signatures = append(e.Signatures, sig)
	}
	return sound(e, unique(spot("/signatures"), w.Signatures, func(s wireSignature) string { return s.Sig }))
}

func (s wireSignature) read(at spot) (Signature, error) {
	sig, err := decodeBase64(s.Sig)
	if err != nil {
		return Signature{}, at.member("sig").errorf("%v", err)
	}
	if len(sig) == 0 {
		return Signature{}, at.member("sig").errorf("empty")
	}
	if s.KeyID != "" {
		err = at.member("keyid").line(s.KeyID)
	}
	return Signature{KeyID: s.KeyID, Sig: sig}, err
}

func encodeEnvelope(e *Envelope) ([]byte, error) {
	w := wireEnvelope{Payload: base64.StdEncoding.EncodeToString(e.Payload), PayloadType: e.PayloadType}
	for _, s := range e.Signatures {
		w.Signatures = append(w.Signatures, wireSignature{s.KeyID, base64.StdEncoding.EncodeToString(s.Sig)})
	}
	b, err := strictjson.Canonical(w)
	if err != nil {
		return nil, err
	}
	if _, err := parseEnvelope(b); err != nil {
		return nil, fmt.Errorf("envelope would be refused: %w", err)
	}
	return b, nil
}

// PAE returns the bytes that are signed: the pre-authentication encoding of
// type and payload (DSSE v1, protocol).
func (e *Envelope) PAE() []byte { return securedsse.PAE(e.PayloadType, e.Payload) }

// Verify returns nil where at least one signature is k's over the PAE. Key ids
// are hints and are not looked at.
func (e *Envelope) Verify(k *PublicKey) error {
	if k == nil || k.key == nil {
		return errNoKey
	}
	pae := e.PAE()
	for _, s := range e.Signatures {
		if k.Verify(pae, s.Sig) == nil {
			return nil
		}
	}
	return fmt.Errorf("no signature of the envelope is by key %s", k.ID())
}
