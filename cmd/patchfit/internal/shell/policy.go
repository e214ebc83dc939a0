package shell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/verify"
)

// PinnedPolicy returns the trust policy of the server, held to the roots that
// were pinned at login.
func (s *Session) PinnedPolicy(ctx context.Context) (*attest.TrustPolicy, error) {
	p, _, err := s.PinnedEnvelope(ctx)
	return p, err
}

// PinnedEnvelope returns the same policy, and the digest of its envelope, by
// which decisions name it.
func (s *Session) PinnedEnvelope(ctx context.Context) (*attest.TrustPolicy, attest.Digest, error) {
	if s.Server.Roots == "" {
		return nil, "", exit.Hint(
			fmt.Errorf("no trust policy is pinned for %s", config.Address(s.Client.Server())),
			"log in again with --roots sha256:…, as patchfit trust show prints it, or name what is missing with flags",
		)
	}
	envelope, err := s.Client.TrustPolicy(ctx)
	if err != nil {
		return nil, "", err
	}
	p, err := succession.Open(ctx, s.Client, s.Server.Roots, envelope)
	if err != nil {
		return nil, "", unpinned(err)
	}
	if p, err = s.followTUF(ctx, p); err != nil {
		return nil, "", err
	}
	if !time.Now().Before(p.Expires) {
		return nil, "", exit.With(exit.Unproven, fmt.Sprintf("the server's trust policy expired at %s", p.Expires.Format(time.RFC3339)), "its owners have to sign a new one: patchfit trust edit --expires, sign, push")
	}
	return p.TrustPolicy, attest.DigestOf(p.Envelope), nil
}

// unpinned says what to do about a trust policy that the roots pinned at login
// did not sign, and do not lead to.
func unpinned(err error) error {
	var r *verify.Refusal
	if !errors.As(err, &r) {
		return err
	}
	return exit.With(exit.Unproven, fmt.Sprintf("the server's trust policy: %s", r.Fact), "the roots pinned at login neither signed it nor lead to those that did: ask the product's owners, then log in again with the new --roots")
}

// Product returns the id of the product in a repository: as given, else as
// the pinned trust policy has it. What the server alone says is not signed.
func (s *Session) Product(ctx context.Context, given, repository string) (string, error) {
	if given != "" {
		return given, nil
	}
	p, err := s.PinnedPolicy(ctx)
	if err != nil {
		return "", err
	}
	for _, product := range p.Products {
		if product.Repository == repository {
			return product.ID, nil
		}
	}
	return "", exit.With(exit.NotFound, fmt.Sprintf("the trust policy has no product in repository %s", repository), "patchfit trust show lists its products")
}

// ServedPolicy returns the trust policy pinned at login or, where none is, the
// one the server shows, which is nothing but its word.
func (s *Session) ServedPolicy(ctx context.Context) (p *attest.TrustPolicy, pinned bool, err error) {
	if s.Server.Roots != "" {
		p, err = s.PinnedPolicy(ctx)
		return p, true, err
	}
	raw, err := s.Client.TrustPolicy(ctx)
	if err != nil {
		return nil, false, err
	}
	e, err := attest.ParseEnvelope(raw, attest.PolicyPayload)
	if err == nil {
		p, err = attest.ParseTrustPolicy(e.Payload)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the server's trust policy: %w", err)
	}
	return p, false, nil
}
