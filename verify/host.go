package verify

import (
	"time"

	"github.com/patchfit/patchfit/attest"
)

// MaxClockSkew is how far a host's clock may be from the server's.
const MaxClockSkew = 5 * time.Minute

// A Host is what a fresh host record has to agree with.
type Host struct {
	ID    string    // host id
	After int64     // the highest sequence taken from this host before; 0: none
	Nonce string    // the challenge this record has to answer
	Now   time.Time // the time it arrived
	Boot  string    // the boot that asked for the challenge; "": not known
}

// HostRecord verifies the DSSE envelope of a fresh host-record/v1 statement,
// signed by key, against want. Host records have no leaf and no timestamp of
// their own: they count from the moment they are journaled. The error is
// always a *[Refusal].
func HostRecord(envelope []byte, key *attest.PublicKey, want Host) (*attest.HostRecord, error) {
	r, refusal := hostRecord(envelope, key, want.ID)
	if refusal != nil {
		return nil, refusal
	}
	switch skew := r.Time.Sub(want.Now); {
	case r.Sequence <= want.After:
		return nil, refuse(Rollback, "/predicate/sequence: %d, want more than %d, the last one taken", r.Sequence, want.After)
	case r.Nonce != want.Nonce: // no record has an empty one
		return nil, refuse(StaleHostRecord, "/predicate/nonce: %q, want %q, the challenge of now", r.Nonce, want.Nonce)
	case skew > MaxClockSkew || skew < -MaxClockSkew:
		return nil, refuse(StaleHostRecord, "/predicate/time: %s, want within %v of %s", r.Time.Format(time.RFC3339), MaxClockSkew, want.Now.UTC().Format(time.RFC3339))
	case want.Boot != "" && r.BootID != want.Boot:
		return nil, refuse(ClonedKey, "/predicate/bootId: %s, want %s, the boot that asked", r.BootID, want.Boot)
	}
	return r, nil
}

// StoredHostRecord verifies the envelope of a host record that was fresh when
// it was journaled: signature, statement and host, without challenge and
// clock. The error is always a *[Refusal].
func StoredHostRecord(envelope []byte, key *attest.PublicKey, host string) (*attest.HostRecord, error) {
	r, refusal := hostRecord(envelope, key, host)
	if refusal != nil {
		return nil, refusal
	}
	return r, nil
}

func hostRecord(envelope []byte, key *attest.PublicKey, host string) (*attest.HostRecord, *Refusal) {
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err != nil {
		return nil, refuse(Corrupt, "%v", err)
	}
	if key == nil {
		return nil, refuse(UntrustedSigner, "host %s has no key", host)
	}
	if len(e.Signatures) != 1 || e.Verify(key) != nil {
		return nil, refuse(BadSignature, "/signatures: not one signature over these bytes by %s, the host's key", key.ID())
	}
	s, err := attest.ParseStatement(e.Payload)
	if err != nil {
		return nil, refuse(Corrupt, "/payload: %v", err)
	}
	r, ok := s.Predicate.(*attest.HostRecord)
	if !ok {
		return nil, refuse(Corrupt, "/predicateType: statement is %s, want %s", s.Type, attest.TypeHostRecord)
	}
	return r, ownRecord(s, r, key, host)
}

// ownRecord asks that a host speaks of itself.
func ownRecord(s *attest.Statement, r *attest.HostRecord, key *attest.PublicKey, host string) *Refusal {
	if got := s.Subjects[0].Digest; got != key.ID() || len(s.Subjects) != 1 {
		return refuse(SubjectMismatch, "/subject: record is about key %s, want %s, the host's", got, key.ID())
	}
	if r.Host != host {
		return refuse(SubjectMismatch, "/predicate/host: %q, want %q", r.Host, host)
	}
	return nil
}
