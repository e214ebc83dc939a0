// Package verify answers one question, offline: is this evidence good?
//
// [Verifier.Bundle] takes the bytes of a Sigstore bundle and the artifact they
// are said to be about, and returns [Evidence] or says why not. Evidence is
// what was found true of a statement: who signed it, when a timestamp
// authority saw the signature, where it is in the log, what it is about. It
// does not say whether the signer is trusted with that statement: package
// policy asks that of the trust policy, each time it decides.
//
// What has to hold, all of it, with no switch:
//
//   - the bundle parses, in the one form we read (docs/spec/bundle.md);
//   - its one signature is by a key the trust policy names, or by one whose
//     certificate has a name and an authority the trust policy names;
//   - its leaf, rebuilt here from envelope and key, is in a log the trust
//     policy names, and what the bundle says of its leaf is that leaf;
//   - where the trust policy asks for witnesses, enough of them cosigned the
//     checkpoint the leaf is proven against;
//   - a timestamp authority the trust policy names saw the signature inside a
//     window of the key, or of that name and of every certificate to the root;
//   - its subjects are the artifact's manifest and, where it has one, the one
//     file of that manifest.
//
// Only this package makes evidence that is [Evidence.Proven]; the zero value
// denies. Every error is a [*Refusal] with a stable [Reason]
// (docs/spec/reasons.md).
//
// The package is pure: keys and times are arguments, and there is no context,
// logger, clock, disk or network in it. The same functions run in the server,
// the agent and the command line.
package verify

import (
	"bytes"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/quorum"
)

// An Artifact is what a statement should be about.
type Artifact struct {
	Manifest attest.Digest
	// File is the manifest's sole layer, or the config of an environment; zero
	// where there is no such one file.
	File attest.Digest
}

// A Verifier verifies bundles with the keys, logs and timestamp authorities of
// one trust policy. It is safe for concurrent use.
type Verifier struct {
	signers    []*signer
	hints      map[string]*signer
	identities map[name][]*identity // in certificates
	anyone     *sigstore.Verifier   // asks of logs and timestamps alone, for people
	witnesses  *quorum.Policy       // nil: none are asked for
	logs       []ledger.LogKey
}

// New returns a Verifier for the keys, logs and timestamp authorities p names.
func New(p *attest.TrustPolicy) (*Verifier, error) {
	material, err := root.NewTrustedRootFromJSON(p.TrustedRoot)
	if err != nil {
		return nil, fmt.Errorf("trust policy: /trustedRoot: %w", err)
	}
	v := &Verifier{hints: make(map[string]*signer)}
	if p.LogPolicy != "" {
		if v.witnesses, err = quorum.Parse([]byte(p.LogPolicy)); err != nil {
			return nil, fmt.Errorf("trust policy: /logPolicy: %w", err)
		}
	}
	if v.logs, err = ledger.LogKeys(p.TrustedRoot); err != nil {
		return nil, fmt.Errorf("trust policy: /trustedRoot: %w", err)
	}
	if v.signers, err = newSigners(p, material); err != nil {
		return nil, err
	}
	if v.identities, err = newIdentities(p, material); err != nil {
		return nil, err
	}
	if v.anyone, err = sigstore.NewVerifier(material, sigstore.WithTransparencyLog(1), sigstore.WithSignedTimestamps(1)); err != nil {
		return nil, err
	}
	for _, s := range v.signers {
		v.hints[s.key.Hint()] = s
		v.hints[s.id.Hex()] = s
	}
	return v, nil
}

// Bundle verifies a Sigstore bundle about want. The error is always a *[Refusal].
func (v *Verifier) Bundle(raw []byte, want Artifact) (*Evidence, error) {
	ev, statement, refusal := v.prove(raw)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := about(statement, want); refusal != nil {
		return nil, refusal
	}
	ev.subject = want.Manifest // the same digests; kept once, they compare fastest
	if ev.file != "" {
		ev.file = want.File
	}
	return ev, nil
}

// Revocation verifies the Sigstore bundle of a revocation, whose one subject is
// what it revokes. The error is always a *[Refusal]. A revocation whose place in
// a log does not verify is a revocation all the same, of everything: whoever
// takes it in asks [Verifier.Since] and refuses it.
func (v *Verifier) Revocation(raw []byte) (*Evidence, error) {
	ev, statement, refusal := v.prove(raw)
	if refusal != nil {
		return nil, refusal
	}
	r := As[attest.Revocation](ev)
	if r == nil { // its parser saw to the subject
		return nil, refuse(Corrupt, "/dsseEnvelope/payload/predicateType: statement is %s, want %s", statement.Type, attest.TypeRevocation)
	}
	ev.since, _ = v.since(r)
	return ev, nil
}

// Channel verifies the Sigstore bundle of a channel, whose one subject is the
// channel. Whether it has expired is for whoever knows the time. The error is
// always a *[Refusal].
func (v *Verifier) Channel(raw []byte) (*Evidence, error) {
	ev, statement, refusal := v.prove(raw)
	if refusal != nil {
		return nil, refusal
	}
	if As[attest.Channel](ev) == nil { // its parser saw to the subject
		return nil, refuse(Corrupt, "/dsseEnvelope/payload/predicateType: statement is %s, want %s", statement.Type, attest.TypeChannel)
	}
	return ev, nil
}

// prove does all that does not depend on what the statement should be about.
func (v *Verifier) prove(raw []byte) (*Evidence, *attest.Statement, *Refusal) {
	b, err := attest.ParseBundle(raw)
	if err != nil {
		return nil, nil, unreadable(err)
	}
	if refusal := readAlike(b); refusal != nil {
		return nil, nil, refusal
	}
	by, result, refusal := v.signedBy(b)
	if refusal != nil {
		return nil, nil, refusal
	}
	if refusal := checkUnsigned(b, by.credential); refusal != nil {
		return nil, nil, refusal
	}
	if refusal := v.witnessed(b); refusal != nil {
		return nil, nil, refusal
	}
	return &Evidence{
		proven:    true,
		identity:  new(Identity),
		payload:   attest.DigestOf(b.Envelope.Payload),
		bundle:    attest.DigestOf(raw),
		typ:       b.Statement.Type,
		subject:   b.Statement.Subjects[0].Digest,
		file:      file(b.Statement),
		signer:    by.id,
		key:       by.credential.SigningKey().ID(),
		time:      latest(result.VerifiedTimestamps),
		log:       origin(b),
		logIndex:  b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0].GetLogIndex(),
		predicate: b.Statement.Predicate,
	}, b.Statement, nil
}

// witnessed asks that enough witnesses cosigned the checkpoint the statement is
// proven against: the very one sigstore-go verified, which looks at no cosignature.
func (v *Verifier) witnessed(b *attest.Bundle) *Refusal {
	if v.witnesses == nil {
		return nil
	}
	entry := b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0]
	if _, err := v.witnesses.Check([]byte(entry.GetInclusionProof().GetCheckpoint().GetEnvelope())); err != nil {
		return refuse(NotLogged, "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint: %v", err)
	}
	return nil
}

// readAlike asks that the envelope sigstore-go verifies is the one our parser
// read. They read the same bytes; should they ever see different things, nothing
// is evidence.
func readAlike(b *attest.Bundle) *Refusal {
	e := b.Sigstore.GetDsseEnvelope()
	if len(e.GetSignatures()) != 1 || len(b.Envelope.Signatures) != 1 ||
		!bytes.Equal(e.GetPayload(), b.Envelope.Payload) || e.GetPayloadType() != b.Envelope.PayloadType ||
		!bytes.Equal(e.GetSignatures()[0].GetSig(), b.Envelope.Signatures[0].Sig) {
		return refuse(Corrupt, "/dsseEnvelope: two readers see different envelopes in this bundle")
	}
	return nil
}

// bySigningKey asks sigstore-go for a signature by a key. What the statement
// is about is asked by about, of the statement as our strict parser read it.
var bySigningKey = sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), sigstore.WithKey())

// A voice is who made a bundle: whom it counts for, and how it says so.
type voice struct {
	id         attest.Digest
	credential attest.Credential
}

func (v *Verifier) signedBy(b *attest.Bundle) (voice, *sigstore.VerificationResult, *Refusal) {
	if b.Certificate != nil {
		n, result, refusal := v.certified(b)
		if refusal != nil {
			return voice{}, nil, refusal
		}
		return voice{n.id, b.Certificate}, result, nil
	}
	s, result, refusal := v.signed(b)
	if refusal != nil {
		return voice{}, nil, refusal
	}
	return voice{s.id, s.key}, result, nil
}

// signed finds the key that signed and verifies signature, log and timestamp.
// The bundle's hint says where to look first; nobody signed it, so every other
// key is tried before the signature is called bad.
func (v *Verifier) signed(b *attest.Bundle) (*signer, *sigstore.VerificationResult, *Refusal) {
	hinted := v.hints[b.KeyHint]
	if hinted != nil {
		result, err := hinted.verifier.Verify(b.Sigstore, bySigningKey)
		if err == nil {
			return hinted, result, nil
		}
		if b.Envelope.Verify(hinted.key) == nil {
			return nil, nil, hinted.diagnose(b, err)
		}
	}
	for _, s := range v.signers {
		if s == hinted || b.Envelope.Verify(s.key) != nil {
			continue
		}
		result, err := s.verifier.Verify(b.Sigstore, bySigningKey)
		if err != nil {
			return nil, nil, s.diagnose(b, err)
		}
		return s, result, nil
	}
	return nil, nil, v.stranger(b, hinted)
}

func (v *Verifier) stranger(b *attest.Bundle, hinted *signer) *Refusal {
	if hinted != nil {
		return refuse(BadSignature, "/dsseEnvelope/signatures/0: not a signature over these bytes by %s, the key the bundle names", hinted.id)
	}
	return refuse(UntrustedSigner, "/verificationMaterial/publicKey/hint: the bundle names key %q; the trust policy's %d keys did not make this signature", b.KeyHint, len(v.signers))
}

func latest(results []sigstore.TimestampVerificationResult) (t time.Time) {
	for _, r := range results {
		if r.Timestamp.After(t) {
			t = r.Timestamp.UTC()
		}
	}
	return t
}
