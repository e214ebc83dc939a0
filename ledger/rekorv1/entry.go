package rekorv1

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	dsse "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	hashedrekord "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	intoto "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// known reports whether entries of this kind are read. The others of Rekor v1
// open archives, or hold no signature (intoto 0.0.1), so that nothing ties them
// to a bundle.
func (h head) known() bool {
	switch h {
	case head{hashedrekord.APIVERSION, "hashedrekord"}, head{dsse.APIVERSION, "dsse"}, head{intoto.APIVERSION, "intoto"}:
		return true
	}
	return false
}

// A claim is the entry the bundle carries, read by Rekor's types, with what it
// says was signed.
type claim struct {
	head
	body      []byte
	entry     types.EntryImpl
	digest    string
	signature []byte
	key       []byte // PEM
}

// claimed reads the entry the bundle carries.
func (b *Bundle) claimed() (*claim, *Refusal) {
	said := head{b.entry.GetKindVersion().GetVersion(), b.entry.GetKindVersion().GetKind()}
	if !b.head.known() {
		return nil, refuse(UnknownKind, "the entry is %q; read are hashedrekord 0.0.1, dsse 0.0.1 and intoto 0.0.2", b.head.kind())
	}
	if said != b.head {
		return nil, refuse(OtherKind, "the bundle says the entry is %q, it is %q", said.kind(), b.head.kind())
	}
	c := &claim{head: b.head, body: b.entry.GetCanonicalizedBody()}
	proposed, err := models.UnmarshalProposedEntry(bytes.NewReader(c.body), consumer{})
	if err != nil {
		return nil, refuse(InvalidEntry, "%v", err)
	}
	if c.entry, err = types.UnmarshalEntry(proposed); err != nil {
		return nil, refuse(InvalidEntry, "%v", err)
	}
	if err := c.read(); err != nil {
		return nil, refuse(InvalidEntry, "%v", err)
	}
	return c, nil
}

// consumer reads JSON for Rekor's models, which want their numbers kept.
type consumer struct{}

func (consumer) Consume(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.UseNumber()
	return d.Decode(v)
}

// read asks the entry for its one signature, its key and its digest.
func (c *claim) read() (err error) {
	if c.signature, err = oneSignature(c.entry); err != nil {
		return err
	}
	keys, err := c.entry.Verifiers()
	if err != nil {
		return err
	}
	if len(keys) != 1 {
		return fmt.Errorf("%d keys, want 1", len(keys))
	}
	if c.key, err = keys[0].CanonicalValue(); err != nil {
		return err
	}
	c.digest, err = c.entry.ArtifactHash()
	return err
}

func oneSignature(entry types.EntryImpl) ([]byte, error) {
	switch e := entry.(type) {
	case *hashedrekord.V001Entry:
		return e.HashedRekordObj.Signature.Content, nil
	case *dsse.V001Entry:
		if n := len(e.DSSEObj.Signatures); n != 1 {
			return nil, fmt.Errorf("%d signatures, want 1", n)
		}
		return base64.StdEncoding.DecodeString(*e.DSSEObj.Signatures[0].Signature)
	case *intoto.V002Entry:
		signatures := e.IntotoObj.Content.Envelope.Signatures
		if len(signatures) != 1 {
			return nil, fmt.Errorf("%d signatures, want 1", len(signatures))
		}
		if signatures[0].Sig == nil {
			return nil, errors.New("signature is missing")
		}
		return base64.StdEncoding.DecodeString(string(*signatures[0].Sig))
	}
	return nil, fmt.Errorf("%T holds no signature", entry)
}

// isOver asks that the entry is about what the bundle signs, and says all that
// is not (CVE-2026-22703: any valid entry was taken for any artifact).
func (c *claim) isOver(s *signed) *Refusal {
	var reason Reason
	var facts []string
	differs := func(as Reason, format string, args ...any) {
		if reason == "" {
			reason = as
		}
		facts = append(facts, fmt.Sprintf(format, args...))
	}
	if c.digest != s.digest {
		differs(OtherContent, "is over %s, the bundle signs %s", c.digest, s.digest)
	}
	if !bytes.Equal(c.key, s.key) {
		differs(OtherKey, "is by %s, the bundle by %s", attest.DigestOf(c.key), attest.DigestOf(s.key))
	}
	if !bytes.Equal(c.signature, s.signature) {
		differs(OtherSignature, "holds signature %s, the bundle %s", attest.DigestOf(c.signature), attest.DigestOf(s.signature))
	}
	if reason == "" {
		return nil
	}
	return refuse(reason, "the entry %s", strings.Join(facts, "; "))
}

// rebuild returns the entry that Rekor makes of what the bundle signs, which
// has to be the one it carries. Rekor's types verify the signature on the way.
func (s *signed) rebuild(c *claim) ([]byte, *Refusal) {
	ctx := context.Background() // asked for, and never waited on: nothing here blocks
	proposed, err := types.NewProposedEntry(ctx, c.Kind, c.APIVersion, types.ArtifactProperties{
		ArtifactHash: s.digest, ArtifactBytes: s.envelope, SignatureBytes: s.signature,
		PublicKeyBytes: [][]byte{s.key}, PKIFormat: "x509",
	})
	if err != nil {
		return nil, refuse(s.fault(c), "%v", err)
	}
	entry, err := types.UnmarshalEntry(proposed)
	if err != nil {
		return nil, refuse(s.fault(c), "%v", err)
	}
	body, err := canonical(ctx, entry, c.entry)
	if err != nil {
		return nil, refuse(OtherEntry, "%v", err)
	}
	if !bytes.Equal(body, c.body) {
		return nil, refuse(OtherEntry, "the bundle carries entry %s, what it signs makes entry %s", attest.DigestOf(c.body), attest.DigestOf(body))
	}
	return body, nil
}

// fault says why Rekor's types made no entry: a bare signature in an entry for
// envelopes, or a signature that does not hold.
func (s *signed) fault(c *claim) Reason {
	if (s.envelope == nil) != (c.Kind == "hashedrekord") {
		return OtherContent
	}
	return BadSignature
}

// canonical encodes entry as the log does. Two things are taken from the
// claimed entry, because a bundle does not keep them: the hash of the JSON the
// log was sent, whose every member is compared by itself; and, in an intoto
// entry, how the PEM of the key is wrapped, which is left to whoever sent it.
// That it is the same key is known by then.
func canonical(ctx context.Context, entry, claimed types.EntryImpl) ([]byte, error) {
	switch e := entry.(type) {
	case *dsse.V001Entry:
		e.DSSEObj.EnvelopeHash = claimed.(*dsse.V001Entry).DSSEObj.EnvelopeHash
	case *intoto.V002Entry:
		said := claimed.(*intoto.V002Entry).IntotoObj.Content
		e.IntotoObj.Content.Hash = said.Hash
		e.IntotoObj.Content.Envelope.Signatures[0].PublicKey = said.Envelope.Signatures[0].PublicKey
		if len(said.Envelope.Payload) > 0 {
			return withPayload(e)
		}
	}
	return types.CanonicalizeEntry(ctx, entry)
}

// withPayload encodes an intoto entry of the logs that kept the payload in it.
// The payload is the bundle's.
func withPayload(e *intoto.V002Entry) ([]byte, error) {
	version := intoto.APIVERSION
	b, err := json.Marshal(&models.Intoto{APIVersion: &version, Spec: &e.IntotoObj})
	if err != nil {
		return nil, err
	}
	return strictjson.Canonicalize(b)
}
