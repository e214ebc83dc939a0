package host

import (
	"context"
	"errors"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// A Status is what this host knows of itself, without asking anybody.
type Status struct {
	Identity      Identity
	PolicyVersion int64
	PolicyExpires time.Time
	Record        *attest.HostRecord // nil: none yet
	Received      time.Time          // when the server took the record
	ThisBoot      bool               // the record is of this boot
	Bases         []BaseStatus
	Revocations   int // ever seen, of all products
	Trust         TrustStatus
	Channels      []ChannelStatus
}

// Fresh reports whether the last record still says what runs here, and is no
// older than the agent's site policy asks.
func (s *Status) Fresh(now time.Time, site *policy.Site) bool {
	if s.Record == nil || !s.ThisBoot || site == nil || now.Sub(s.Received) > site.MaxRecordAge {
		return false
	}
	for _, b := range s.Bases {
		if !b.Unchanged {
			return false
		}
	}
	return true
}

// A BaseStatus is one base of this host, measured now.
type BaseStatus struct {
	Base
	Repository string // of its product; "" where the trust policy has none
	Now        attest.Measurement
	Err        error // why it could not be measured
	Unchanged  bool  // the last record has this very measurement
}

// Status measures the bases of the last record again and looks at nothing but
// this host.
func (a *Agent) Status() (*Status, error) {
	seen, err := a.state.readRevocations()
	if err != nil {
		return nil, err
	}
	s := &Status{Identity: a.me, PolicyVersion: a.pinned.Version, PolicyExpires: a.pinned.Expires, Record: a.record, Received: a.last.Received}
	if s.Trust, err = a.trustStatus(); err != nil {
		return nil, err
	}
	for _, p := range seen.Products {
		s.Revocations += len(p.Bundles)
	}
	if s.Channels, err = a.channelStatus(); err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	s.ThisBoot = a.record != nil && a.record.BootID == boot
	for _, b := range a.last.Bases {
		s.Bases = append(s.Bases, a.baseStatus(b))
	}
	return s, nil
}

// Site returns the minimums this agent asks for.
func (a *Agent) Site() *policy.Site { return a.site }

func (a *Agent) baseStatus(b Base) BaseStatus {
	s := BaseStatus{Base: b}
	if p, ok := a.productNamed(b.Product); ok {
		s.Repository = p.Repository
	}
	s.Now, s.Err = Measure(b.Path)
	if s.Err != nil || a.record == nil {
		return s
	}
	for _, r := range a.record.Running {
		if r.Product == b.Product && r.Measurement == s.Now {
			s.Unchanged = true
		}
	}
	return s
}

// An Explanation is why this host may have an artifact or not: what the server
// says, and what this host says of what the server sent.
type Explanation struct {
	Server *api.Why
	Checks []policy.Check // this host's own; every rule
	Denied error          // this host's own refusal; nil: it would keep the patch
}

// Why explains what Pull would do with ref. It downloads no patch, and nothing
// is recorded.
func (a *Agent) Why(ctx context.Context, ref Reference) (*Explanation, error) {
	t, product, err := a.prepare(ctx, ref.Repository)
	if err != nil {
		return nil, err
	}
	running, stale := a.measured(product)
	if r := (*verify.Refusal)(nil); stale != nil && !errors.As(stale, &r) {
		return nil, stale
	}
	if ref.Channel != "" {
		if ref, err = a.newest(ctx, t, product, ref, running); err != nil {
			return nil, err
		}
	}
	server, err := a.client.Why(ctx, a.me.Host, ref.Repository, ref.name())
	if err != nil {
		return nil, err
	}
	if ref.Digest != "" && server.Digest != ref.Digest {
		return nil, refuse(verify.SubjectMismatch, "asked about %s, the server answers about %s", ref.Digest, server.Digest)
	}
	x := &Explanation{Server: server}
	q, err := a.ask(ctx, t, product, policy.Artifact{Repository: ref.Repository, Manifest: server.Digest}, running)
	if err != nil {
		return nil, err
	}
	x.Checks = policy.Explain(q.facts)
	if x.Denied = stale; stale == nil {
		x.Denied = q.decide()
	}
	return x, nil
}
