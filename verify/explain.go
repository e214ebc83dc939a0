package verify

import (
	"fmt"
	"strings"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/patchfit/patchfit/attest"
)

// An Outcome is how one check of a bundle came out.
type Outcome string

// The outcomes. A check that was not reached had nothing to look at, because
// one before it failed.
const (
	Passed     Outcome = "passed"
	Failed     Outcome = "failed"
	NotReached Outcome = "not-reached"
)

// The checks of a bundle, in their order. docs/spec/verification.md.
const (
	CheckForm      = "form"
	CheckSignature = "signature"
	CheckLog       = "log"
	CheckWitnesses = "witnesses"
	CheckTimestamp = "timestamp"
	CheckWindow    = "window"
	CheckSubject   = "subject"
)

// A Check is one thing that was asked of a bundle, for people: what was found,
// or why it was refused.
type Check struct {
	Name    string
	Asks    string // in words
	Outcome Outcome
	Found   string   // one line; "" where it was not reached
	Refusal *Refusal // of a check that failed
}

// asked says what each check asks.
func asked() []Check {
	return []Check{
		{Name: CheckForm, Asks: "it reads, in the one form there is"},
		{Name: CheckSignature, Asks: "its one signature is by a key the trust policy names"},
		{Name: CheckLog, Asks: "it is in a log the trust policy names, under exactly this signature by this key"},
		{Name: CheckWitnesses, Asks: "as many witnesses as the trust policy asks for cosigned that log's checkpoint"},
		{Name: CheckTimestamp, Asks: "a timestamp authority the trust policy names saw the signature"},
		{Name: CheckWindow, Asks: "it saw it while the key counted"},
		{Name: CheckSubject, Asks: "it is about this artifact, by its manifest digest and file"},
	}
}

// Criteria lists the checks without an outcome, for those who say what they
// will ask before they ask it.
func Criteria() []Check { return asked() }

// Explain verifies a bundle as [Verifier.Bundle] does, and tells of each check
// what it found. The evidence is what Bundle says it is, and nil where it says
// no: what is told beside it decides nothing.
func (v *Verifier) Explain(raw []byte, want Artifact) (*Evidence, []Check) {
	ev, err := v.Bundle(raw, want)
	x := explanation{Verifier: v, checks: asked()}
	x.look(raw, want)
	if err == nil && !x.failed() {
		return ev, x.checks
	}
	if r, ok := err.(*Refusal); ok {
		x.blame(r)
	}
	return nil, x.checks
}

// An explanation asks each check by itself, so that what is wrong in two ways
// is told in two.
type explanation struct {
	*Verifier
	checks []Check
}

func (x *explanation) at(name string) *Check {
	for i := range x.checks {
		if x.checks[i].Name == name {
			return &x.checks[i]
		}
	}
	return new(Check)
}

func (x *explanation) found(name, format string, args ...any) {
	c := x.at(name)
	c.Outcome, c.Found = Passed, oneLine(fmt.Sprintf(format, args...))
}

// settle notes a refusal; nil leaves the check as it is.
func (x *explanation) settle(name string, r *Refusal) bool {
	if r == nil {
		return true
	}
	c := x.at(name)
	c.Outcome, c.Found, c.Refusal = Failed, r.Fact, r
	return false
}

func (x *explanation) failed() bool {
	for _, c := range x.checks {
		if c.Outcome != Passed {
			return true
		}
	}
	return false
}

func (x *explanation) look(raw []byte, want Artifact) {
	for i := range x.checks {
		x.checks[i].Outcome = NotReached
	}
	b, err := attest.ParseBundle(raw)
	if err != nil {
		x.settle(CheckForm, unreadable(err))
		return
	}
	if !x.settle(CheckForm, readAlike(b)) {
		return
	}
	x.found(CheckForm, "a bundle of a %s statement", b.Statement.Type)
	if x.settle(CheckSubject, about(b.Statement, want)) {
		x.found(CheckSubject, "manifest %s, file %s", want.Manifest, orNone(file(b.Statement)))
	}
	if b.Certificate != nil {
		x.certificate(b)
		return
	}
	s := x.signer(b)
	if s == nil {
		x.settle(CheckSignature, x.stranger(b, x.hints[b.KeyHint]))
		return
	}
	x.found(CheckSignature, "by key %s, over these bytes", s.id)
	x.logged(b, s.key, s.verifier)
	x.timed(b, s)
}

// signer returns whose signature it is; nil where it is nobody's the trust
// policy names.
func (x *explanation) signer(b *attest.Bundle) *signer {
	for _, s := range x.signers {
		if b.Envelope.Verify(s.key) == nil {
			return s
		}
	}
	return nil
}

func (x *explanation) logged(b *attest.Bundle, by attest.Credential, v *sigstore.Verifier) {
	const at = "/verificationMaterial/tlogEntries/0"
	if _, err := v.VerifyTransparencyLogInclusion(b.Sigstore); err != nil {
		x.settle(CheckLog, refuse(NotLogged, at+": %v", err))
		return
	}
	x.entered(b, by)
}

// stamped tells of the timestamps, and returns those that verify.
func (x *explanation) stamped(b *attest.Bundle, v *sigstore.Verifier) []sigstore.TimestampVerificationResult {
	times, err := v.VerifyObserverTimestamps(b.Sigstore, nil)
	if err != nil {
		x.settle(CheckTimestamp, refuse(NotLogged, "/verificationMaterial/timestampVerificationData: %v", err))
		return nil
	}
	x.found(CheckTimestamp, "seen at %s", latest(times).Format(time.RFC3339))
	return times
}

// entered tells of the log entry, whose proof was verified.
func (x *explanation) entered(b *attest.Bundle, by attest.Credential) {
	entry := b.Sigstore.GetVerificationMaterial().GetTlogEntries()[0]
	if !x.settle(CheckLog, checkUnsigned(b, by)) {
		return
	}
	checkpoint := entry.GetInclusionProof().GetCheckpoint().GetEnvelope()
	origin, rest, _ := strings.Cut(checkpoint, "\n")
	size, _, _ := strings.Cut(rest, "\n")
	x.found(CheckLog, "entry %d of %s, in its checkpoint of %s entries", entry.GetLogIndex(), origin, size)
	if x.settle(CheckWitnesses, x.witnessed(b)) {
		x.found(CheckWitnesses, "%s", x.cosigners(checkpoint))
	}
}

func (x *explanation) cosigners(checkpoint string) string {
	if !x.witnesses.Asks() {
		return "none asked for"
	}
	seen, err := x.witnesses.Check([]byte(checkpoint))
	if err != nil {
		return err.Error()
	}
	names := make([]string, len(seen))
	for i, c := range seen {
		names[i] = c.Witness
	}
	return "cosigned by " + strings.Join(names, ", ")
}

func (x *explanation) timed(b *attest.Bundle, s *signer) {
	times := x.stamped(b, s.verifier)
	if len(times) == 0 {
		return
	}
	for _, t := range times {
		if !s.windows.ValidAtTime(t.Timestamp) {
			x.settle(CheckWindow, refuse(Expired, "signed at %s; key %s counts %s", t.Timestamp.UTC().Format(time.RFC3339), s.id, s.windows.text))
			return
		}
	}
	x.found(CheckWindow, "the key counts %s", s.windows.text)
}

// blame sees to it that what Bundle refused has a check that failed: should the
// two ever see different things, the refusal stands.
func (x *explanation) blame(r *Refusal) {
	for _, c := range x.checks {
		if c.Outcome == Failed {
			return
		}
	}
	x.settle(checkOf(r.Reason), r)
}

func checkOf(r Reason) string {
	switch r {
	case BadSignature, UntrustedSigner:
		return CheckSignature
	case NotLogged:
		return CheckLog
	case Expired:
		return CheckWindow
	case SubjectMismatch:
		return CheckSubject
	}
	return CheckForm
}
