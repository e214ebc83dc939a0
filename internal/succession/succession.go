// Package succession follows trust policies for whoever pinned one, or its
// roots, from there to the one in effect, through every change of roots in
// between, in order. docs/spec/trust-policy.md, section 2.
//
// A server keeps each policy it ever took. Whoever was away asks it for the
// changes of roots one by one: each has to be signed by a threshold of the roots
// before it and of its own, so that nobody but those roots leads anywhere, and
// none of their changes can be left out. Nothing on the way is trusted until its
// end is reached: it ends at the policy that was offered, or nothing changed.
package succession

import (
	"bytes"
	"context"
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// MaxTurns is how many changes of roots are followed in one go: as many as TUF
// clients follow.
const MaxTurns = 256

// A Policy is a trust policy whose signatures were verified.
type Policy struct {
	*attest.TrustPolicy
	Envelope []byte
}

// A Source has the policies of the past. Nothing it says is believed.
type Source interface {
	// TrustPolicyAfter returns the envelope of the first policy above a version
	// whose roots are others than those of the policy before it, and of the
	// newest policy where there is none.
	TrustPolicyAfter(ctx context.Context, version int64) ([]byte, error)
}

// Open returns the policy in envelope to whoever pinned roots: its own, or
// earlier ones that lead to it. Refusals are of type [*verify.Refusal].
func Open(ctx context.Context, s Source, roots attest.Digest, envelope []byte) (*Policy, error) {
	offered, err := read(envelope)
	if err != nil {
		return nil, err
	}
	if offered.roots == roots {
		return open(offered, roots)
	}
	first, err := find(ctx, s, roots, offered)
	if err != nil {
		return nil, err
	}
	return walk(ctx, s, first, offered)
}

// Next returns the policy in envelope to whoever has current; nil where that is
// the current one. It never goes back.
func Next(ctx context.Context, s Source, current *Policy, envelope []byte) (*Policy, error) {
	if bytes.Equal(envelope, current.Envelope) {
		return nil, nil
	}
	offered, err := read(envelope)
	if err != nil {
		return nil, err
	}
	switch {
	case offered.Version < current.Version:
		return nil, refuse(verify.Rollback, "the server offers trust policy version %d, version %d is known here", offered.Version, current.Version)
	case offered.Version == current.Version && !offered.says(current.Envelope):
		return nil, contested(offered.Version)
	case offered.Version == current.Version:
		return nil, nil // signed by others too; what it says is what we have
	}
	return walk(ctx, s, current, offered)
}

// walk goes from a policy to the one that was offered, by one change of roots
// after the other. Where they have the same roots there is none to ask for.
func walk(ctx context.Context, s Source, from *Policy, to *unverified) (*Policy, error) {
	at := from
	for range MaxTurns {
		if has(at, to.roots) {
			return follow(at, to)
		}
		turn, err := ask(ctx, s, at.Version, to)
		if err != nil {
			return nil, err
		}
		if at, err = follow(at, turn); err != nil {
			return nil, err
		}
		if at.Version == to.Version {
			return at, nil
		}
	}
	return nil, refuse(verify.Contested, "trust policy version %d leads through more than %d changes of roots", to.Version, MaxTurns)
}

// has reports whether a policy's roots are those.
func has(p *Policy, roots attest.Digest) bool {
	d, err := p.Roots.Digest()
	return err == nil && d == roots
}

// find looks for the policy that the pinned roots signed first. The ones it
// passes by are not verified, and not used.
func find(ctx context.Context, s Source, roots attest.Digest, offered *unverified) (*Policy, error) {
	var version int64
	for range MaxTurns {
		turn, err := ask(ctx, s, version, offered)
		if err != nil {
			return nil, err
		}
		if turn.roots == roots {
			return open(turn, roots)
		}
		if version = turn.Version; version == offered.Version {
			break
		}
	}
	return nil, refuse(verify.UntrustedSigner, "the server's trust policy has the roots %s, pinned are %s, and nothing leads from these to those", offered.roots, roots)
}

// ask asks for the change of roots after a version, on the way to a policy.
func ask(ctx context.Context, s Source, after int64, to *unverified) (*unverified, error) {
	envelope, err := s.TrustPolicyAfter(ctx, after)
	if err != nil {
		return nil, fmt.Errorf("asking for the trust policy after version %d: %w", after, err)
	}
	turn, err := read(envelope)
	switch {
	case err != nil:
		return nil, err
	case turn.Version <= after:
		return nil, refuse(verify.Rollback, "asked for the trust policy after version %d, the server sends version %d", after, turn.Version)
	case turn.Version > to.Version:
		return nil, refuse(verify.Contested, "on the way to trust policy version %d the server sends version %d", to.Version, turn.Version)
	case turn.Version == to.Version && !turn.says(to.envelope):
		return nil, contested(turn.Version)
	}
	return turn, nil
}

// follow verifies that next is signed by the roots of at, and by its own.
func follow(at *Policy, next *unverified) (*Policy, error) {
	p, err := at.OpenNext(next.envelope)
	if err != nil {
		r := refuse(verify.BadSignature, "trust policy version %d does not follow version %d: %v", next.Version, at.Version, err)
		r.Remedy = "a change of roots is signed by the roots before it too: ask the owners of the trust policy whether they made this one, and the server's admin whether it serves all of them"
		return nil, r
	}
	return &Policy{p, next.envelope}, nil
}

func open(p *unverified, roots attest.Digest) (*Policy, error) {
	opened, err := attest.OpenTrustPolicy(p.envelope, roots)
	if err != nil {
		return nil, refuse(verify.BadSignature, "%v", err)
	}
	return &Policy{opened, p.envelope}, nil
}

// unverified is a policy that nobody has verified.
type unverified struct {
	*attest.TrustPolicy
	roots    attest.Digest
	payload  []byte
	envelope []byte
}

func read(envelope []byte) (*unverified, error) {
	u := &unverified{envelope: envelope}
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err == nil {
		u.payload = e.Payload
		u.TrustPolicy, err = attest.ParseTrustPolicy(e.Payload)
	}
	if err == nil {
		u.roots, err = u.Roots.Digest()
	}
	if err != nil {
		return nil, refuse(verify.Corrupt, "the server's trust policy: %v", err)
	}
	return u, nil
}

// says reports whether another envelope holds the same policy.
func (u *unverified) says(envelope []byte) bool {
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	return err == nil && bytes.Equal(e.Payload, u.payload)
}

func contested(version int64) *verify.Refusal {
	return refuse(verify.Contested, "there are two trust policies of version %d", version)
}

func refuse(reason verify.Reason, format string, args ...any) *verify.Refusal {
	return &verify.Refusal{Reason: reason, Fact: fmt.Sprintf(format, args...), Remedy: reason.Remedy()}
}
