package policy

import (
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// A Pool is the evidence there is, found by what it is about. It holds what was
// verified, trusted or not. The zero Pool is empty and ready. It is not safe
// for use while something is added.
type Pool struct {
	// Revoked tells live statements from revoked ones where two of them
	// disagree; nil: all are taken for live.
	Revoked *Revocations

	about        map[attest.Digest][]*verify.Evidence
	environments map[attest.Digest][]*verify.Evidence
	effect       map[attest.Digest]time.Time // of bundles about rebuilds, where it is not the timestamp
}

// Add puts e in the pool. Evidence that is not proven is about nothing and is
// left out; the same bundle again is no second piece of evidence.
func (p *Pool) Add(e *verify.Evidence) {
	if !e.Proven() || p.has(e) {
		return
	}
	if p.about == nil {
		p.about = make(map[attest.Digest][]*verify.Evidence)
		p.environments = make(map[attest.Digest][]*verify.Evidence)
	}
	p.about[e.Subject()] = append(p.about[e.Subject()], e)
	if verify.As[attest.Environment](e) != nil {
		p.environments[e.File()] = append(p.environments[e.File()], e)
	}
}

func (p *Pool) has(e *verify.Evidence) bool {
	for _, have := range p.about[e.Subject()] {
		if have.Payload() == e.Payload() && have.Signer() == e.Signer() && have.LogIndex() == e.LogIndex() {
			return true
		}
	}
	return false
}

// Took says when e, which is in the pool, took effect, where that is not the time
// of its timestamp: a server has a journal. It matters to what is about rebuilds.
func (p *Pool) Took(e *verify.Evidence, at time.Time) {
	if !isAboutRebuild(e) {
		return
	}
	if p.effect == nil {
		p.effect = make(map[attest.Digest]time.Time)
	}
	p.effect[e.Bundle()] = at
}

// effective returns when e took effect.
func (p *Pool) effective(e *verify.Evidence) time.Time {
	if at, ok := p.effect[e.Bundle()]; ok {
		return at
	}
	return e.Time()
}

// About returns the evidence whose subject is this manifest.
func (p *Pool) About(manifest attest.Digest) []*verify.Evidence { return p.about[manifest] }

// Environment returns the environment/v1 statements whose environment has this
// digest, whatever manifest they are about.
func (p *Pool) Environment(d attest.Digest) []*verify.Evidence { return p.environments[d] }
