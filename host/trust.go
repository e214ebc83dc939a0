package host

import (
	"context"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// firstPolicy fetches the server's trust policy and takes it if the roots that
// were pinned at enrolment signed it, or lead to those that did.
func firstPolicy(ctx context.Context, c *api.Client, roots attest.Digest) (*succession.Policy, error) {
	envelope, err := c.TrustPolicy(ctx)
	if err != nil {
		return nil, err
	}
	return succession.Open(ctx, c, roots, envelope)
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

// take takes the trust policy in envelope if it is newer and follows the one we
// have, by all changes of roots since.
func (a *Agent) take(ctx context.Context, envelope []byte) error {
	next, err := succession.Next(ctx, a.client, a.pinned, envelope)
	if err != nil || next == nil {
		return err
	}
	if err := a.state.writePolicy(next); err != nil {
		return err
	}
	a.logger.InfoContext(ctx, "took a new trust policy", "version", next.Version)
	a.pinned = next
	return nil
}

// unexpired refuses to stand on a trust policy that is over.
func unexpired(p *succession.Policy, now time.Time) *verify.Refusal {
	if now.Before(p.Expires) {
		return nil
	}
	return refuse(verify.Expired, "trust policy version %d was good until %s, and it is %s", p.Version, p.Expires.Format(time.RFC3339), now.Format(time.RFC3339))
}
