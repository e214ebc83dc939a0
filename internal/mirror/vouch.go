package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// trust puts the trust policy and its trusted root into the layout.
func (p *pull) trust() error {
	r := p.layout.Record
	root := p.src.Policy.TrustedRoot
	r.TrustPolicy, r.TrustedRoot = describe(MediaPolicy, p.src.Envelope), describe(MediaRoot, root)
	return errors.Join(p.in.put(r.TrustPolicy, p.src.Envelope), p.in.put(r.TrustedRoot, root))
}

// verify asks of the copy what whoever gets it will ask, and of the mirror that
// was there before, that this one continues it.
func (p *pull) verify(ctx context.Context) error {
	p.options.Progress.Step("verifying")
	if err := p.encode(); err != nil {
		return err
	}
	memory, err := p.remembered()
	if err != nil {
		return err
	}
	now := p.options.Now
	if now.IsZero() {
		now = time.Now()
	}
	v := &verification{layout: p.layout, policy: p.src.Policy, hashed: p.in.sure}
	report, err := v.run(ctx, memory, now)
	if err != nil {
		return err
	}
	p.result.Report, p.result.Record = report, p.layout.Record
	switch {
	case len(report.Problems) > 0:
		return &report.Problems[0]
	case len(report.Refused) > 0:
		r := report.Refused[0]
		return fmt.Errorf("bundle %s in %s: %w", r.Bundle, r.Repository, r.Refusal)
	case !report.Verified():
		return problem(Missing, "nothing was found that anybody said: there is nothing to mirror")
	}
	return nil
}

// encode writes the record and its artifact into the layout.
func (p *pull) encode() error {
	raw, err := strictjson.Canonical(p.layout.Record)
	if err != nil {
		return err
	}
	if _, err := ParseRecord(raw); err != nil {
		return fmt.Errorf("the record would be refused: %w", err)
	}
	p.layout.raw = raw
	m, d, err := p.layout.Record.manifest(raw)
	if err != nil {
		return err
	}
	return errors.Join(p.in.put(describe(MediaRecord, raw), raw), p.in.put(d, m))
}

// remembered is what the mirror that was there before shows.
func (p *pull) remembered() (*Memory, error) {
	m := &Memory{}
	if p.before == nil {
		return m, nil
	}
	s := sight{revocation: map[string][]attest.Digest{}}
	envelope, err := p.before.TrustPolicy()
	if err != nil {
		return nil, err
	}
	if e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload); err == nil {
		if policy, err := attest.ParseTrustPolicy(e.Payload); err == nil {
			s.policy = policy.Version
		}
	}
	for _, repo := range p.before.Record.Repositories {
		for _, d := range repo.Revocations {
			raw, err := p.before.read(d, attest.MaxBundle)
			if err != nil {
				return nil, err
			}
			if slices.Contains(p.void(), d.Digest) {
				continue
			}
			if b, err := attest.ParseBundle(raw); err == nil {
				s.revocation[repo.Product] = append(s.revocation[repo.Product], attest.DigestOf(b.Envelope.Payload))
			}
		}
	}
	m.learn(s)
	if l := p.before.Record.Log; l != nil {
		m.Logs = []SeenLog{{Origin: l.Origin, Size: l.Size, Root: l.Root}}
	}
	return m, nil
}

// void lists the bundles that count for nothing now.
func (p *pull) void() []attest.Digest {
	var all []attest.Digest
	for _, repo := range p.layout.Record.Repositories {
		all = append(all, repo.Void...)
	}
	return all
}
