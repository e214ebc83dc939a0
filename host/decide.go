package host

import (
	"context"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/policy/inquiry"
	"github.com/patchfit/patchfit/verify"
)

// delivered are the kinds of patches this agent hands over. It applies none.
var delivered = []string{attest.PatchELFTest, attest.PatchKernel, attest.PatchLibpulp}

// Denied is this host's own decision that it may not have an artifact,
// whatever the server says.
type Denied struct {
	Repository string
	Digest     attest.Digest
	Reasons    []policy.Finding  // never empty; the leading one first
	Refused    []*verify.Refusal // bundles the server sent that are no evidence
}

// Reason returns the leading reason. Where evidence is missing, and some was
// sent that is none, it is why that is none.
func (d *Denied) Reason() verify.Reason {
	if r := d.cause(); r != nil {
		return r.Reason
	}
	return d.Reasons[0].Reason
}

func (d *Denied) cause() *verify.Refusal {
	missing := []verify.Reason{verify.NoAttestation, verify.NoProvenance}
	if len(d.Refused) > 0 && slices.Contains(missing, d.Reasons[0].Reason) {
		return d.Refused[0]
	}
	return nil
}

// Remedy is what usually helps against the leading reason.
func (d *Denied) Remedy() string {
	if r := d.cause(); r != nil {
		return r.Remedy
	}
	return d.Reasons[0].Remedy
}

func (d *Denied) Error() string {
	if r := d.cause(); r != nil {
		return string(r.Reason) + ": " + r.Fact
	}
	facts := make([]string, 0, len(d.Reasons))
	for _, f := range d.Reasons {
		if f.Reason == d.Reasons[0].Reason {
			facts = append(facts, "want "+f.Want+", got "+f.Got)
		}
	}
	return string(d.Reasons[0].Reason) + ": " + strings.Join(facts, "; ")
}

// A question is everything one decision of this host looks at.
type question struct {
	facts  *policy.Facts
	search *inquiry.Search
}

// ask gathers what is known about art and this host. running is what it runs
// now.
func (a *Agent) ask(ctx context.Context, t *trust, product string, art policy.Artifact, running []attest.Running) (*question, error) {
	revoked, err := a.revocations(ctx, t, product)
	if err != nil {
		return nil, err
	}
	channels, err := a.channels(ctx, t, product, revoked, false)
	if err != nil {
		return nil, err
	}
	sent, err := a.client.Evidence(ctx, art.Repository, art.Manifest)
	if err != nil {
		return nil, err
	}
	if art.Type == "" {
		art = inquiry.Described(art.Repository, art.Manifest, sent.Bundles)
	}
	revocations := policy.NewRevocations(t.Trust, revoked)
	s := inquiry.New(t.verifier, t.Trust, revocations, verify.Artifact{Manifest: art.Manifest, File: art.File}, sent.Bundles)
	bases := []*policy.Base{s.Base(product, art.Repository, art.Subject)}
	for _, m := range a.compare(ctx, s, product, art, running) {
		bases = append(bases, s.Base(product, art.Repository, m))
	}
	return &question{search: s, facts: &policy.Facts{
		Now: now(), Trust: t.Trust, Product: product, Site: a.site, Revoked: revocations,
		Channels:  channels,
		Embargoes: policy.NewEmbargoes(nil, nil), // the server's to know
		Host:      a.asHost(running, bases),
		Patch:     policy.GatherPatch(t.Trust, product, art, bases[0], s.Pool),
	}}, nil
}

// compare asks for evidence about the bases this host runs, where they are not
// the patch's, and returns their manifests. It only helps to explain: what the
// server will not tell leaves the base unknown, which denies too.
func (a *Agent) compare(ctx context.Context, s *inquiry.Search, product string, art policy.Artifact, running []attest.Running) []attest.Digest {
	var own []attest.Digest
	for _, b := range a.last.Resolved {
		runs := func(r attest.Running) bool { return r.Measurement.Digest == b.File }
		if b.Product != product || b.Manifest == art.Subject || !slices.ContainsFunc(running, runs) {
			continue
		}
		sent, err := a.client.Evidence(ctx, art.Repository, b.Manifest)
		if err != nil {
			a.logger.WarnContext(ctx, "the server says nothing of this host's base", "manifest", b.Manifest, "error", err)
			continue
		}
		s.Compare(b.Manifest, b.File, sent.Bundles)
		own = append(own, b.Manifest)
	}
	return own
}

// asHost is what this host knows of itself. Whether it is suspended, or its
// key is in use elsewhere, is for the server to know.
func (a *Agent) asHost(running []attest.Running, bases []*policy.Base) *policy.Host {
	h := &policy.Host{ID: a.me.Host, State: policy.HostActive, Products: a.me.Products}
	if a.record == nil {
		return h
	}
	fresh := *a.record
	fresh.Running = running
	h.Record, h.Received, h.Sequence = &fresh, a.last.Received, a.record.Sequence
	for _, b := range bases {
		if slices.ContainsFunc(running, b.Matches) {
			h.Bases = append(h.Bases, b)
		}
	}
	return h
}

// decide answers the question; nil is yes.
func (q *question) decide() error {
	p := q.facts.Patch
	d := policy.Decide(q.facts)
	if d.Allow {
		if r := deliverable(p.LivePatch()); r != nil {
			return r
		}
		return nil
	}
	reasons := q.withBase(d.Reasons)
	if len(reasons) == 0 { // a rule that denies names what it missed; should one not, it still denies
		reasons = []policy.Finding{{Reason: verify.NoAttestation, Want: "every rule passed", Got: "one that is not"}}
	}
	return &Denied{Repository: p.Artifact.Repository, Digest: p.Artifact.Manifest, Reasons: reasons, Refused: q.search.Refused}
}

// withBase leads with the base where all that is wrong is that this host runs
// another: the server's rules know every base of the product, this host knows
// only the patch's, so that its own is an unknown one.
func (q *question) withBase(reasons []policy.Finding) []policy.Finding {
	base, record := q.facts.Patch.Base, q.facts.Host.Record
	if len(reasons) == 0 || reasons[0].Reason != verify.UnknownBase || base == nil || record == nil ||
		slices.ContainsFunc(record.Running, func(r attest.Running) bool { return r.Measurement.Digest == base.Artifact.File }) {
		return reasons
	}
	lead := policy.Finding{
		Reason: verify.BaseMismatch, Rule: "base-match",
		Want: "base file the patch is for = " + string(base.Artifact.File), Got: listRunning(record.Running),
		Remedy: verify.BaseMismatch.Remedy(),
	}
	return append([]policy.Finding{lead}, reasons...)
}

// deliverable refuses kinds of patches this agent does not know.
func deliverable(p *attest.LivePatch) *verify.Refusal {
	if p == nil || !slices.Contains(delivered, p.Kind) {
		kind := "(none)"
		if p != nil {
			kind = p.Kind
		}
		r := refuse(verify.Corrupt, "the live patch is of kind %q, this agent knows %v", kind, delivered)
		r.Remedy = "update patchfit-agent"
		return r
	}
	return nil
}
