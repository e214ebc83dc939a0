package host

import (
	"bytes"
	"context"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// pinnedPolicy is a trust policy whose signatures this host verified.
type pinnedPolicy struct {
	*attest.TrustPolicy
	envelope []byte
}

// firstPolicy fetches the server's trust policy and takes it if a threshold of
// the roots that were pinned at enrolment signed it.
func firstPolicy(ctx context.Context, c *api.Client, roots attest.Digest) (*pinnedPolicy, error) {
	envelope, err := c.TrustPolicy(ctx)
	if err != nil {
		return nil, err
	}
	offered, _, refusal := peek(envelope)
	if refusal != nil {
		return nil, refusal
	}
	if d, err := offered.Roots.Digest(); err != nil || d != roots {
		return nil, refuse(verify.UntrustedSigner, "the server's trust policy has the roots %s, the enrolment token names %s", d, roots)
	}
	p, err := attest.OpenTrustPolicy(envelope, roots)
	if err != nil {
		return nil, refuse(verify.BadSignature, "%v", err)
	}
	return &pinnedPolicy{TrustPolicy: p, envelope: envelope}, nil
}

// updatePolicy brings the trust policy up to date: by the TUF repository the
// one we have names, or from the server where it names none. It never goes
// back.
func (a *Agent) updatePolicy(ctx context.Context) error {
	if a.pinned.TUF == (attest.TUFRoot{}) {
		envelope, err := a.client.TrustPolicy(ctx)
		if err != nil {
			return err
		}
		if err := a.take(ctx, envelope); err != nil {
			return err
		}
	}
	return a.followTUF(ctx)
}

// take takes the trust policy in envelope if it is newer and a threshold of
// the roots of the one we have signed it.
func (a *Agent) take(ctx context.Context, envelope []byte) error {
	next, refusal := successor(a.pinned, envelope)
	if refusal != nil {
		return refusal
	}
	if next != nil {
		if err := a.state.writePolicy(next); err != nil {
			return err
		}
		a.logger.InfoContext(ctx, "took a new trust policy", "version", next.Version)
		a.pinned = next
	}
	return nil
}

// successor returns the policy in envelope if it comes after current, and nil
// if it is current.
func successor(current *pinnedPolicy, envelope []byte) (*pinnedPolicy, *verify.Refusal) {
	if bytes.Equal(envelope, current.envelope) {
		return nil, nil
	}
	offered, payload, refusal := peek(envelope)
	if refusal != nil {
		return nil, refusal
	}
	switch {
	case offered.Version < current.Version:
		return nil, refuse(verify.Rollback, "the server offers trust policy version %d, this host has version %d", offered.Version, current.Version)
	case offered.Version == current.Version && !samePayload(current.envelope, payload):
		return nil, refuse(verify.Contested, "there are two trust policies of version %d", offered.Version)
	case offered.Version == current.Version:
		return nil, nil // signed by others too; what it says is what we have
	}
	p, err := current.OpenNext(envelope)
	if err != nil {
		r := refuse(verify.BadSignature, "trust policy version %d: %v", offered.Version, err)
		r.Remedy = "have it signed by the roots of version " + decimal(current.Version) + " too; a host that missed a change of roots has to enrol again"
		return nil, r
	}
	return &pinnedPolicy{TrustPolicy: p, envelope: envelope}, nil
}

// peek reads a trust policy that nobody has verified.
func peek(envelope []byte) (*attest.TrustPolicy, []byte, *verify.Refusal) {
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err != nil {
		return nil, nil, refuse(verify.Corrupt, "the server's trust policy: %v", err)
	}
	p, err := attest.ParseTrustPolicy(e.Payload)
	if err != nil {
		return nil, nil, refuse(verify.Corrupt, "the server's trust policy: %v", err)
	}
	return p, e.Payload, nil
}

func samePayload(envelope, payload []byte) bool {
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	return err == nil && bytes.Equal(e.Payload, payload)
}

// unexpired refuses to stand on a trust policy that is over.
func (p *pinnedPolicy) unexpired(now time.Time) *verify.Refusal {
	if now.Before(p.Expires) {
		return nil
	}
	return refuse(verify.Expired, "trust policy version %d was good until %s, and it is %s", p.Version, p.Expires.Format(time.RFC3339), now.Format(time.RFC3339))
}
