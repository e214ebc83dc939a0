package host

import (
	"context"
	"slices"
	"strconv"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/succession"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// trust is a trust policy ready to be asked.
type trust struct {
	*policy.Trust
	verifier *verify.Verifier
	revoked  map[attest.Digest]*verify.Evidence // verified already, by bundle
}

func prepare(p *succession.Policy) (*trust, error) {
	v, err := verify.New(p.TrustPolicy)
	if err != nil {
		return nil, err
	}
	return &trust{policy.NewTrust(p.TrustPolicy, attest.DigestOf(p.Envelope)), v, map[attest.Digest]*verify.Evidence{}}, nil
}

// revocations fetches the revocations of a product, adds them to those this
// host has seen, and returns all. A server that lost one of those is refused:
// what was revoked stays so. Revocations have no end; only a trust policy that
// no longer trusts who signed one takes it away. What a server says beyond what
// verifies, as a count, is not remembered: it would be believed for ever.
func (a *Agent) revocations(ctx context.Context, t *trust, product string) ([]*verify.Evidence, error) {
	seen, err := a.state.readRevocations()
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Revocations(ctx, product)
	if err != nil {
		return nil, err
	}
	known := seen.of(product)
	before, offered := t.revocations(product, known.Bundles), t.revocations(product, answer.Bundles)
	if refusal := forgotten(product, answer, before, offered); refusal != nil {
		return nil, refusal
	}
	if len(offered) > len(before) {
		known.remember(before, offered, answer.Bundles)
		if err := a.state.write(revocationsFile, seen); err != nil {
			return nil, err
		}
	}
	return evidence(offered), nil
}

// revocation is one that counts, and where its bundle was.
type revocation struct {
	*verify.Evidence
	at int
}

// revocations verifies bundles and returns those the trust policy believes,
// each statement once.
func (t *trust) revocations(product string, bundles [][]byte) []revocation {
	var all []revocation
	for i, b := range bundles {
		e, err := t.revocation(b)
		if err != nil || policy.ProductOf(e) != product || !t.Trusted(product, attest.RoleRevocation, e) || contains(all, e) {
			continue
		}
		all = append(all, revocation{e, i})
	}
	return all
}

// revocation verifies a bundle, once: what the server sends is mostly what was
// remembered.
func (t *trust) revocation(bundle []byte) (*verify.Evidence, error) {
	d := attest.DigestOf(bundle)
	if e := t.revoked[d]; e != nil {
		return e, nil
	}
	e, err := t.verifier.Revocation(bundle)
	if err == nil {
		t.revoked[d] = e
	}
	return e, err
}

func contains(all []revocation, e *verify.Evidence) bool {
	return slices.ContainsFunc(all, func(r revocation) bool { return r.Payload() == e.Payload() })
}

func evidence(all []revocation) []*verify.Evidence {
	list := make([]*verify.Evidence, len(all))
	for i, r := range all {
		list[i] = r.Evidence
	}
	return list
}

// forgotten refuses a server that lost a revocation this host has verified, or
// that by its own count keeps some back in this very answer.
func forgotten(product string, answer *api.Revocations, before, offered []revocation) *verify.Refusal {
	if answer.Count < int64(len(before)) || answer.Count > int64(len(answer.Bundles)) {
		return refuse(verify.Rollback, "the server says it has %s revocations of product %s and sends %d, this host has verified %d",
			decimal(answer.Count), product, len(answer.Bundles), len(before))
	}
	for _, r := range before {
		if !contains(offered, r.Evidence) {
			return refuse(verify.Rollback, "the server no longer has revocation %s of product %s (%s), which this host has seen",
				r.Payload(), product, verify.As[attest.Revocation](r.Evidence).Reason)
		}
	}
	return nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// of returns what was seen of a product, to be changed in place.
func (s *seenRevocations) of(product string) *productRevocations {
	i := slices.IndexFunc(s.Products, func(p productRevocations) bool { return p.Product == product })
	if i < 0 {
		s.Products = append(s.Products, productRevocations{Product: product})
		i = len(s.Products) - 1
	}
	return &s.Products[i]
}

// remember adds the bundles of what is new. What was remembered stays, trusted
// now or not: a later trust policy may trust it again.
func (p *productRevocations) remember(before, offered []revocation, bundles [][]byte) {
	for _, r := range offered {
		if !contains(before, r.Evidence) {
			p.Bundles = append(p.Bundles, bundles[r.at])
		}
	}
	p.Count = int64(len(p.Bundles))
}
