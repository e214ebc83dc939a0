// Package rekorv1 verifies the evidence of a Rekor v1 log, offline: is what a
// Sigstore bundle signs really in the log, under exactly this signature by
// exactly this key?
//
// patchfit's own log speaks Rekor v2, and so does everything it writes. Most
// of what the world signed before is in Rekor v1 logs, above all the public
// one. This package reads that: Sigstore bundles v0.1 to v0.3 whose one log
// entry is a hashedrekord 0.0.1, a dsse 0.0.1 or an intoto 0.0.2.
// docs/spec/rekor-v1.md.
//
// What has to hold, all of it, with no switch:
//
//   - the entry is of a kind we know, and small; its kind is asked before
//     anything decodes it;
//   - the entry, built again here from the bundle's own signature, key and
//     content by Rekor's own types, is the one the bundle carries, byte for
//     byte. What the bundle carries is compared and never believed;
//   - that entry is in the tree of a checkpoint a log of the trusted root
//     signed (the inclusion proof), and the log promised it (the signed entry
//     timestamp): whichever of the two the bundle has, and the one its version
//     asks for;
//   - the log's key, and the certificate that signed, were valid when the log
//     says it took the entry.
//
// It does not ask who signed, whether a certificate leads to an authority, nor
// what a statement says: that is for the caller, who has the bundle verified by
// sigstore-go as well.
//
// The package is pure. Every error is a [*Refusal].
package rekorv1

import (
	"fmt"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/patchfit/patchfit/attest"
)

// A Want is what a bundle does not say for itself, or must not.
type Want struct {
	// Digest is the artifact's. A bundle with a bare signature is verified over
	// it; one with an envelope has what is signed in it.
	Digest attest.Digest
	// Key is the public key that should have signed, as one PEM block, for a
	// bundle that has no certificate.
	Key []byte
}

// An Entry is a log entry that was verified. Only this package makes one that
// is Proven; the zero Entry proves nothing.
type Entry struct {
	proven bool

	Kind, Version string
	LogID         string // hex
	LogURL        string // as the trusted root has it

	// LogIndex is the entry's number in the log with all its shards, and
	// Integrated when the log took it. Only the promise vouches for them: -1 and
	// the zero time where there is none.
	LogIndex   int64
	Integrated time.Time
	// TreeIndex and TreeSize are the inclusion proof's; -1 and 0 where there is
	// none.
	TreeIndex, TreeSize int64

	log *root.TransparencyLog
}

// Proven reports whether e came out of a verification.
func (e *Entry) Proven() bool { return e != nil && e.proven }

// Promised reports whether the log signed for the entry and its time.
func (e *Entry) Promised() bool { return e.Proven() && !e.Integrated.IsZero() }

// CountsAt returns an error if the log's key was not valid at t. An entry
// without a promise has no time of its own: ask with the time that a timestamp
// authority saw the signature.
func (e *Entry) CountsAt(t time.Time) error {
	if !e.Proven() {
		return refuse(Malformed, "no entry was verified")
	}
	if r := inWindow(e.log, t); r != nil {
		return r
	}
	return nil
}

// A Verifier verifies entries of the logs of one trusted root. It is safe for
// concurrent use.
type Verifier struct {
	logs map[string]*root.TransparencyLog // by hex log id
}

// New returns a Verifier for the logs of trusted.
func New(trusted root.TrustedMaterial) *Verifier {
	return &Verifier{logs: trusted.RekorLogs()}
}

// Bundle verifies the log entry of a Sigstore bundle. The error is always a
// *[Refusal].
func (v *Verifier) Bundle(raw []byte, want Want) (*Entry, error) {
	b, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	return v.Verify(b, want)
}

// Verify verifies the log entry of a parsed bundle. The error is always a
// *[Refusal].
func (v *Verifier) Verify(b *Bundle, want Want) (e *Entry, err error) {
	// Rekor's types are somebody else's code on attackers' bytes, and have
	// panicked before. No input is known that gets here; tests hold that.
	defer func() {
		if p := recover(); p != nil {
			e, err = nil, refuse(Panicked, "rekor's types panicked on this entry: %v", p)
		}
	}()
	e, refusal := v.verify(b, want)
	if refusal != nil {
		return nil, refusal
	}
	return e, nil
}

// verify compares first and asks the log second: then what the log is asked
// about is ours.
func (v *Verifier) verify(b *Bundle, want Want) (*Entry, *Refusal) {
	s, refusal := b.signed(want)
	if refusal != nil {
		return nil, refusal
	}
	claimed, refusal := b.claimed()
	if refusal != nil {
		return nil, refusal
	}
	if refusal := claimed.isOver(s); refusal != nil {
		return nil, refusal
	}
	body, refusal := s.rebuild(claimed)
	if refusal != nil {
		return nil, refusal
	}
	return v.logged(b, body, s.certificate)
}

// A Refusal is why an entry is no evidence. It is an error.
type Refusal struct {
	Reason Reason
	Fact   string // what is wrong, with both values
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Reason, r.Fact) }

const maxFact = 600 // bytes of a fact, which is one line for people

func refuse(reason Reason, format string, args ...any) *Refusal {
	fact := strings.Join(strings.Fields(strings.ToValidUTF8(fmt.Sprintf(format, args...), "?")), " ")
	if len(fact) > maxFact {
		fact = strings.ToValidUTF8(fact[:maxFact], "") + "…"
	}
	return &Refusal{Reason: reason, Fact: fact}
}
