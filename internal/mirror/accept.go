package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// accepts asks whether the server goes by the mirror's trust policy, whose
// envelope is given, or a later one, and returns the server's. Nobody's signature
// is checked here: what it says is used to tell beforehand what the server would
// refuse.
func accepts(ctx context.Context, envelope []byte, server *api.Client) (*attest.TrustPolicy, error) {
	ours, err := peek(envelope)
	if err != nil {
		return nil, problem(Corrupt, "the mirror's trust policy: %v", err)
	}
	const remedy = "take it out of the mirror and push it: patchfit mirror trust LAYOUT -o policy.signed.json; patchfit trust push policy.signed.json"
	envelope, err = server.TrustPolicy(ctx)
	var answer *api.Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return nil, problem(Untrusted, "the server has no trust policy yet, the mirror was made under version %d", ours.Version).hint("%s", remedy)
	}
	if err != nil {
		return nil, err
	}
	theirs, err := peek(envelope)
	switch {
	case err != nil:
		return nil, problem(Untrusted, "the server's trust policy: %v", err)
	case theirs.Version < ours.Version:
		return nil, problem(Untrusted, "the server has trust policy version %d, the mirror was made under version %d", theirs.Version, ours.Version).hint("%s", remedy)
	case theirs.Version == ours.Version && !same(ours, theirs):
		return nil, problem(Untrusted, "there are two trust policies of version %d: the server has another than the mirror", ours.Version).
			hint("a mirror goes into a server of the same owners; ask them which policy is theirs")
	}
	return theirs, nil
}

func peek(envelope []byte) (*attest.TrustPolicy, error) {
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err != nil {
		return nil, err
	}
	return attest.ParseTrustPolicy(e.Payload)
}

func same(a, b *attest.TrustPolicy) bool {
	x, errX := strictjson.Canonical(a)
	y, errY := strictjson.Canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// preflight returns the bundles that count for nothing by the server's trust
// policy, and an error for what it would refuse for any other reason: better
// before the first byte than halfway.
func preflight(l *Layout, p *attest.TrustPolicy) (map[attest.Digest]*verify.Refusal, error) {
	for i := range l.Record.Repositories {
		if repo := &l.Record.Repositories[i]; !names(p, repo) {
			return nil, problem(Untrusted, "the server's trust policy has no product %s in repository %s", repo.Product, repo.Repository).
				hint("push the trust policy the mirror was made under, or a later one")
		}
	}
	a, err := newAssessor(p)
	if err != nil {
		return nil, err
	}
	found, err := a.all(l)
	if err != nil {
		return nil, err
	}
	void := map[attest.Digest]*verify.Refusal{}
	for _, f := range found {
		switch {
		case f.void():
			void[f.bundle] = f.refusal
		case f.refusal != nil:
			return nil, fmt.Errorf("the server would refuse bundle %s in %s: %w", f.bundle, f.repository, f.refusal)
		}
	}
	return void, nil
}
