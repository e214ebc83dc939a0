package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// A verification is everything one answer stands on.
type verification struct {
	*configuration
	repository string
	product    string
	policy     *attest.TrustPolicy
	trust      *policy.Trust
	verifier   *verify.Verifier
}

func newVerification(c *configuration, repository string) (*verification, error) {
	envelope, err := os.ReadFile(c.TrustPolicy)
	if err != nil {
		return nil, fmt.Errorf("reading the trust policy: %w", err)
	}
	p, err := attest.OpenTrustPolicy(envelope, attest.Digest(c.Roots))
	if err != nil {
		return nil, refuse(verify.BadSignature, "trust policy %s: %v", c.TrustPolicy, err)
	}
	if !time.Now().Before(p.Expires) {
		return nil, refuse(verify.Expired, "trust policy version %d was good until %s", p.Version, p.Expires.Format(time.RFC3339))
	}
	v := &verification{configuration: c, repository: repository, policy: p, trust: policy.NewTrust(p, attest.DigestOf(envelope))}
	product, ok := v.trust.ProductFor(repository)
	if !ok {
		return nil, refuse(verify.ForbiddenRole, "trust policy version %d has no product in repository %s", p.Version, repository)
	}
	v.product = product.ID
	v.verifier, err = verify.New(p)
	return v, err
}

func refuse(reason verify.Reason, format string, args ...any) *verify.Refusal {
	return &verify.Refusal{Reason: reason, Fact: fmt.Sprintf(format, args...), Remedy: reason.Remedy()}
}

// A found is what the source of evidence has about one image.
type found struct {
	bundles     [][]byte
	revocations [][]byte
}

// judge asks for provenance of the image by a builder the trust policy names,
// that nothing revokes. What else was said about it neither helps nor hurts.
func (v *verification) judge(ctx context.Context, image attest.Digest) (string, error) {
	f, err := v.find(ctx, image)
	if err != nil {
		return "", err
	}
	var all []*verify.Evidence
	for _, raw := range f.revocations {
		if e, err := v.verifier.Revocation(raw); err == nil {
			all = append(all, e)
		}
	}
	revoked := policy.NewRevocations(v.trust, all)
	for _, kind := range []string{attest.RevokeSubject, attest.RevokeBuilder} {
		if by := revoked.By(v.product, kind, image); by != nil {
			return "", refuse(verify.Revoked, "image %s is revoked: %s", image, verify.As[attest.Revocation](by).Reason)
		}
	}
	last := refuse(verify.NoProvenance, "nobody says how image %s was built", image)
	for _, raw := range f.bundles {
		said, refusal := v.one(raw, image, revoked)
		if refusal == nil {
			return said, nil
		}
		last = refusal
	}
	return "", last
}

func (v *verification) one(raw []byte, image attest.Digest, revoked *policy.Revocations) (string, *verify.Refusal) {
	e, err := v.verifier.Bundle(raw, verify.Artifact{Manifest: image})
	var refusal *verify.Refusal
	switch {
	case errors.As(err, &refusal):
		return "", refusal
	case err != nil:
		return "", refuse(verify.Corrupt, "%v", err)
	case e.Type() != attest.TypeProvenance:
		return "", refuse(verify.NoProvenance, "nobody says how image %s was built", image)
	case !v.trust.Trusted(v.product, attest.RoleBuilder, e):
		return "", refuse(verify.UntrustedSigner, "key %s has no role builder in repository %s", e.Signer(), v.repository)
	case policy.ProductOf(e) != v.product:
		return "", refuse(verify.SubjectMismatch, "provenance names product %.80q, want %s", policy.ProductOf(e), v.product)
	}
	if by := revoked.Voids(v.product, e); by != nil {
		return "", refuse(verify.Revoked, "the provenance of image %s: %s", image, verify.As[attest.Revocation](by).Reason)
	}
	return fmt.Sprintf("provenance by key %s, %s, log index %d, trust policy version %d", e.Signer().Short(), e.Time().Format(time.RFC3339), e.LogIndex(), v.policy.Version), nil
}

func (v *verification) find(ctx context.Context, image attest.Digest) (*found, error) {
	if v.Mirror != "" {
		return v.inMirror(image)
	}
	c, err := config.Load(v.Login)
	if err != nil {
		return nil, err
	}
	server, err := c.Only()
	if err != nil {
		return nil, err
	}
	client, err := server.Connect()
	if err != nil {
		return nil, err
	}
	return v.fromServer(ctx, client, image)
}

func (v *verification) fromServer(ctx context.Context, client *api.Client, image attest.Digest) (*found, error) {
	evidence, err := client.Evidence(ctx, v.repository, image)
	if err != nil {
		return nil, err
	}
	revocations, err := client.Revocations(ctx, v.product)
	if err != nil {
		return nil, err
	}
	return about(image, evidence.Bundles, revocations.Bundles), nil
}

func (v *verification) inMirror(image attest.Digest) (*found, error) {
	h, err := mirror.OpenHolding(v.Mirror)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	bundles, err := h.Bundles()
	if err != nil {
		return nil, err
	}
	revocations, known, err := h.Revocations(v.product)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, refuse(verify.Revoked, "%s is no mirror of product %s, so nothing is known of its revocations", v.Mirror, v.product)
	}
	var all [][]byte
	for _, d := range slices.Sorted(maps.Keys(bundles)) {
		all = append(all, bundles[d])
	}
	return about(image, all, revocations), nil
}

// about keeps the bundles that say they are about the image.
func about(image attest.Digest, bundles, revocations [][]byte) *found {
	f := &found{revocations: revocations}
	for _, raw := range bundles {
		if b, err := attest.ParseBundle(raw); err == nil && b.Statement.Subjects[0].Digest == image {
			f.bundles = append(f.bundles, raw)
		}
	}
	return f
}
