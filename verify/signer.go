package verify

import (
	"bytes"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// A signer is one key the trust policy names, with the sigstore-go verifier
// that accepts a bundle by this key and no other.
type signer struct {
	key      *attest.PublicKey
	id       attest.Digest
	windows  windows
	verifier *sigstore.Verifier
}

// windows is a key with the times in which it counts: [from, until).
// A key that several entries name counts in each of their windows.
type windows struct {
	signature.Verifier
	all  []*root.ExpiringKey
	text string // the windows, for people
}

// ValidAtTime reports whether t lies in a window.
func (w windows) ValidAtTime(t time.Time) bool {
	for _, k := range w.all {
		if k.ValidAtTime(t) {
			return true
		}
	}
	return false
}

func newSigners(p *attest.TrustPolicy, material root.TrustedMaterial) ([]*signer, error) {
	byID := make(map[attest.Digest]*signer)
	var all []*signer
	for _, named := range p.Signers {
		for _, k := range named.Keys {
			key, err := attest.ParsePublicKey(k.Key)
			if err != nil {
				return nil, fmt.Errorf("trust policy: signer %q: %w", named.Name, err)
			}
			s := byID[key.ID()]
			if s == nil {
				if s, err = newSigner(key); err != nil {
					return nil, fmt.Errorf("trust policy: signer %q: %w", named.Name, err)
				}
				byID[s.id], all = s, append(all, s)
			}
			s.open(k)
		}
	}
	for _, s := range all {
		if err := s.arm(material); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func newSigner(key *attest.PublicKey) (*signer, error) {
	v, err := key.Verifier()
	if err != nil {
		return nil, err
	}
	return &signer{key: key, id: key.ID(), windows: windows{Verifier: v}}, nil
}

// open adds k's window. An ExpiringKey counts at its end too; ours does not.
func (s *signer) open(k attest.SignerKey) {
	text, until := "from "+k.ValidFrom.Format(time.RFC3339), k.ValidUntil
	if !until.IsZero() {
		text += " until " + until.Format(time.RFC3339)
		until = until.Add(-time.Nanosecond)
	}
	if s.windows.text != "" {
		text = s.windows.text + " and " + text
	}
	s.windows.text = text
	s.windows.all = append(s.windows.all, root.NewExpiringKey(s.windows.Verifier, k.ValidFrom, until))
}

// arm makes the verifier.
func (s *signer) arm(material root.TrustedMaterial) (err error) {
	s.verifier, err = sigstore.NewVerifier(oneKey{material, s.windows},
		sigstore.WithTransparencyLog(1), sigstore.WithSignedTimestamps(1), sigstore.WithoutStatementPredicate())
	return err
}

// oneKey is trusted material that answers every hint with one key, so that the
// hint, which nobody signed, has no say.
type oneKey struct {
	root.TrustedMaterial
	key windows
}

func (m oneKey) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) { return m.key, nil }

// checkUnsigned asks that the leaf the bundle repeats is the leaf of its
// envelope and of who signed it. sigstore-go rebuilds the leaf and does not look at the
// repeated one; whoever shows or indexes it would be told a lie.
func checkUnsigned(b *attest.Bundle, by attest.Credential) *Refusal {
	want, err := ledger.EntryBody(b.Envelope, by)
	if err != nil {
		return refuse(NotLogged, "rebuilding the log entry: %v", err)
	}
	got := b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0].GetCanonicalizedBody()
	if !bytes.Equal(want, got) {
		return refuse(NotLogged, "/verificationMaterial/tlogEntries/0/canonicalizedBody: is leaf %s, this envelope's is %s", attest.DigestOf(got), attest.DigestOf(want))
	}
	return nil
}

// diagnose says which of the things sigstore-go checks does not hold. The
// signature is known to be the signer's; err is what sigstore-go said.
func (s *signer) diagnose(b *attest.Bundle, err error) *Refusal {
	if _, err := s.verifier.VerifyTransparencyLogInclusion(b.Sigstore); err != nil {
		return refuse(NotLogged, "/verificationMaterial/tlogEntries/0: %v", err)
	}
	times, timeErr := s.verifier.VerifyObserverTimestamps(b.Sigstore, nil)
	if timeErr != nil {
		return refuse(NotLogged, "/verificationMaterial/timestampVerificationData: %v", timeErr)
	}
	for _, t := range times {
		if !s.windows.ValidAtTime(t.Timestamp) {
			return refuse(Expired, "signed at %s; key %s counts %s", t.Timestamp.UTC().Format(time.RFC3339), s.id, s.windows.text)
		}
	}
	if id := b.Envelope.Signatures[0].KeyID; id != "" {
		return refuse(BadSignature, "/dsseEnvelope/signatures/0/keyid: signed by key %s, the key id says %q", s.id.Hex(), id)
	}
	return refuse(Corrupt, "%v", err)
}
