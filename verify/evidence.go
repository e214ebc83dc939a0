package verify

import (
	"time"

	"github.com/patchfit/patchfit/attest"
)

// Evidence is one statement whose signature, log inclusion, timestamp and
// subject have been verified. Only this package makes one that is Proven; the
// zero Evidence proves nothing and denies. It says who signed, never whether
// they are trusted: that is asked of the trust policy, each time.
type Evidence struct {
	proven    bool
	identity  *Identity
	payload   attest.Digest // of the statement's bytes
	bundle    attest.Digest // of the stored bundle; an address, never an identity
	typ       string
	subject   attest.Digest
	file      attest.Digest
	signer    attest.Digest // of the key's SPKI DER, or of the identity
	key       attest.Digest // of the key's SPKI DER
	time      time.Time
	log       string // origin of the log
	logIndex  int64
	since     *since // of a revocation of a key; nil: of all it said
	predicate any    // *attest.Provenance, *attest.Base, … by typ
}

// An Identity tells the evidence of one verification from that of any other,
// and goes where its content goes. (It has a size because things without one
// may share an address.)
type Identity struct{ _ byte }

// orNothing lets a missing piece of evidence be asked, and say nothing.
func (e *Evidence) orNothing() *Evidence {
	if e == nil {
		return new(Evidence)
	}
	return e
}

// Proven reports whether e came out of a verification.
func (e *Evidence) Proven() bool { return e != nil && e.proven }

// Identity returns that of the verification e came out of; nil where it is not
// proven. What was found out about evidence once is true of all evidence of the
// same identity.
func (e *Evidence) Identity() *Identity { return e.orNothing().identity }

// Payload returns the sha256 of the statement's bytes, its identity.
func (e *Evidence) Payload() attest.Digest { return e.orNothing().payload }

// Bundle returns the sha256 under which the bundle is stored.
func (e *Evidence) Bundle() attest.Digest { return e.orNothing().bundle }

// Type returns the statement's predicate type.
func (e *Evidence) Type() string { return e.orNothing().typ }

// Subject returns the manifest digest the statement is about.
func (e *Evidence) Subject() attest.Digest { return e.orNothing().subject }

// File returns the digest of the subject's sole layer or config, the second
// subject; zero where the statement has only one.
func (e *Evidence) File() attest.Digest { return e.orNothing().file }

// Signer returns whose voice it is: the sha256 of the signing key's SPKI DER, or
// of the identity in the certificate (attest.SignerIdentity), whatever its key.
func (e *Evidence) Signer() attest.Digest { return e.orNothing().signer }

// Key returns the sha256 of the signing key's SPKI DER; where a certificate
// signed, of the key in it.
func (e *Evidence) Key() attest.Digest { return e.orNothing().key }

// Time returns the time of the signed timestamp.
func (e *Evidence) Time() time.Time { return e.orNothing().time }

// LogIndex returns the index of the statement's leaf, as the verified
// inclusion proof has it.
func (e *Evidence) LogIndex() int64 { return e.orNothing().logIndex }

// Log returns the origin of the log that the leaf is in.
func (e *Evidence) Log() string { return e.orNothing().log }

// A since is a place in a log.
type since struct {
	log   string
	index int64
}

// Since returns the place, the origin of a log and an index in it, from which
// on a revocation of a key voids what the key said. It is false where the
// revocation names none, or none that verifies: then it voids all of it.
func (e *Evidence) Since() (log string, index int64, ok bool) {
	s := e.orNothing().since
	if s == nil {
		return "", 0, false
	}
	return s.log, s.index, true
}

// As returns the predicate as a *T, or nil where it is of another type or
// e is not proven. It is what was signed, and is never changed.
func As[T any](e *Evidence) *T {
	if !e.Proven() {
		return nil
	}
	p, _ := e.predicate.(*T)
	return p
}
