package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// PushOptions are how a push goes. The zero options say nothing.
type PushOptions struct {
	Progress *term.Progress
}

// Pushed is what a push did.
type Pushed struct {
	Repositories []string
	Blobs        int64 // sent
	Bytes        int64 // of those
	Manifests    int64 // sent; the server had the others
	Present      int64 // manifests the server had
	Tags         int64 // moved
	Revocations  int64 // taken, or there already
	Channels     int64 // taken, or there already
	Skipped      []Refused
}

// Push brings a mirror into another server, as its publishers would: what is
// revoked first, subjects before what refers to them, bundles after what they
// are about and patches' last, tags at the end. The server verifies everything
// by its own trust policy, which has to be the mirror's or a later one. What it
// has is not sent again. Bundles it refuses because they were made after their
// revocation, or because the trust policy no longer trusts their signer, are
// skipped and listed: they count for nothing.
func Push(ctx context.Context, l *Layout, server *api.Client, o *PushOptions) (*Pushed, error) {
	if o == nil {
		o = &PushOptions{}
	}
	defer o.Progress.Clear()
	envelope, err := l.TrustPolicy()
	if err != nil {
		return nil, err
	}
	policy, err := accepts(ctx, envelope, server)
	if err != nil {
		return nil, err
	}
	void, err := preflight(l, policy)
	if err != nil {
		return nil, err
	}
	out := &Pushed{}
	for i := range l.Record.Repositories {
		repo := &l.Record.Repositories[i]
		remote, err := openRepository(server, repo.Repository)
		if err != nil {
			return out, err
		}
		p := &push{layout: l, repo: repo, remote: remote, progress: o.Progress, void: void, out: out}
		if err := p.run(ctx); err != nil {
			return out, fmt.Errorf("%s: %w", repo.Repository, err)
		}
		out.Repositories = append(out.Repositories, repo.Repository)
	}
	return out, nil
}

// A push brings one repository into a server.
type push struct {
	layout   *Layout
	repo     *Repository
	remote   *repository
	progress *term.Progress
	void     map[attest.Digest]*verify.Refusal
	out      *Pushed
}

func (p *push) run(ctx context.Context) error {
	manifests, err := p.layout.manifests(p.repo)
	if err != nil {
		return err
	}
	if err := p.revocations(ctx); err != nil {
		return err
	}
	for _, m := range inOrder(manifests) {
		if err := p.manifest(ctx, m); err != nil {
			return err
		}
	}
	for _, d := range p.repo.Detached {
		if err := p.detached(ctx, manifests[d.Subject], d.Bundle); err != nil {
			return err
		}
	}
	for _, t := range p.repo.Tags {
		if err := p.tag(ctx, t, manifests[t.Digest]); err != nil {
			return err
		}
	}
	return p.channels(ctx)
}

// channels go last: what they offer is there then. One that the server is past,
// or that has expired on the way, is skipped and listed.
func (p *push) channels(ctx context.Context) error {
	for _, d := range p.repo.Channels {
		if r := p.void[d.Digest]; r != nil {
			p.skip(d.Digest, r)
			continue
		}
		raw, err := p.layout.read(d, attest.MaxBundle)
		if err != nil {
			return err
		}
		_, err = p.remote.client.SendChannel(ctx, raw)
		var no *api.Error
		if errors.As(err, &no) && no.Status == http.StatusUnprocessableEntity && overtaken(no.Code) {
			p.skip(d.Digest, &verify.Refusal{Reason: verify.Reason(no.Code), Fact: no.Message, Remedy: no.Remedy})
			continue
		}
		if err != nil {
			return fmt.Errorf("channel %s: %w", d.Digest, err)
		}
		p.out.Channels++
	}
	return nil
}

func overtaken(code string) bool {
	return slices.Contains([]verify.Reason{verify.Rollback, verify.Expired, verify.Revoked}, verify.Reason(code))
}

// revocations go first: nothing that is revoked is to be had from the mirror,
// not even for the time of a copy.
func (p *push) revocations(ctx context.Context) error {
	for i, d := range p.repo.Revocations {
		if r := p.void[d.Digest]; r != nil {
			p.skip(d.Digest, r)
			continue
		}
		raw, err := p.layout.read(d, attest.MaxBundle)
		if err != nil {
			return err
		}
		p.progress.Step("%s: revocation %d of %d", p.repo.Repository, i+1, len(p.repo.Revocations))
		if _, err := p.remote.client.Revoke(ctx, raw); err != nil {
			return fmt.Errorf("revocation %s: %w", d.Digest, err)
		}
		p.out.Revocations++
	}
	return nil
}

// manifest sends a manifest and what it consists of, unless the server has it.
func (p *push) manifest(ctx context.Context, m *manifest) error {
	if m.isBundle() {
		if r := p.void[m.Layers[0].Digest]; r != nil {
			p.skip(m.Layers[0].Digest, r)
			return nil
		}
	}
	raw, err := p.layout.read(m.descriptor, maxManifest)
	if err != nil {
		return err
	}
	return p.send(ctx, m, raw)
}

func (p *push) skip(bundle attest.Digest, r *verify.Refusal) {
	p.out.Skipped = append(p.out.Skipped, Refused{p.repo.Repository, bundle, r})
}
