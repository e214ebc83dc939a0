package verify

import (
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/patchfit/patchfit/attest"
)

// certificate tells of a bundle whose signer is a name in a certificate. Log and
// timestamp are asked whoever it is; the window, where the name is one the trust
// policy has.
func (x *explanation) certificate(b *attest.Bundle) {
	candidates, refusal := x.named(b.Certificate)
	n, unissued := holder(b.Certificate, candidates)
	switch {
	case refusal != nil:
	case b.Envelope.Verify(b.Certificate.SigningKey()) != nil:
		refusal = refuse(BadSignature, notByCertificate)
	default:
		refusal = unissued
	}
	if x.settle(CheckSignature, refusal) {
		x.found(CheckSignature, "by a key whose certificate has the name %s, %q, over these bytes", n.id, n.name.san)
	}
	x.logged(b, b.Certificate, x.anyone)
	times := x.stamped(b, x.anyone)
	if n != nil && len(times) > 0 {
		x.counted(b.Certificate, n, times)
	}
}

// holder returns the identity that a certificate is of: among those of its name
// the one whose authority issued it. The refusal is why none is; the window of
// certificates is for another check.
func holder(c *attest.Certificate, candidates []*identity) (n *identity, refusal *Refusal) {
	for _, n := range candidates {
		r := n.issued(c, c.X509().NotBefore)
		if r == nil || r.Reason == Expired {
			return n, nil
		}
		refusal = r
	}
	return nil, refusal
}

// counted tells whether the name, and every certificate to the root, counted at
// each of the times.
func (x *explanation) counted(c *attest.Certificate, n *identity, times []sigstore.TimestampVerificationResult) {
	for _, t := range times {
		refusal := n.issued(c, t.Timestamp)
		if refusal == nil {
			refusal = n.counts(t.Timestamp)
		}
		if refusal != nil {
			x.settle(checkOf(refusal.Reason), refusal)
			return
		}
	}
	x.found(CheckWindow, "certificates of the chain were valid then, and the name counts %v", n.window)
}
