package policy

import (
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// Pause is how long one rebuilder alone can keep an artifact in.
const Pause = 24 * time.Hour

// A dispute is what rebuilds say against an artifact. The zero dispute is none.
type dispute struct {
	open  bool
	until time.Time        // of a pause; zero: until it is adjudicated
	by    *verify.Evidence // a statement that says so
	fact  string
}

// A dissent is one principal's: its newest word is that the artifact came out
// otherwise.
type dissent struct {
	who    *principal
	got    attest.Digest
	at     time.Time // since when it is credible; zero: it is not
	latest said
}

// disputed returns the dispute there is about an artifact.
func (g *gathering) disputed(r rebuilt, voices []*voice, all []said) dispute {
	decided, upheld := g.adjudicated(r, all)
	if upheld.Evidence != nil {
		return dispute{open: true, by: upheld.Evidence, fact: "upheld by adjudication: " + verify.As[attest.Adjudication](upheld.Evidence).Reason}
	}
	var dissents []dissent
	for _, v := range voices {
		if v.result() == attest.Differs {
			dissents = append(dissents, v.dissents(decided)...)
		}
	}
	first := dissent{}
	for _, d := range dissents {
		if d.at.IsZero() {
			continue
		}
		if other, ok := seconded(d, dissents); ok {
			return dispute{open: true, by: d.latest.Evidence, fact: d.fact() + "; " + other.who.name + " got " + string(other.got)}
		}
		if first.at.IsZero() || d.at.Before(first.at) {
			first = d
		}
	}
	if first.at.IsZero() {
		return dispute{}
	}
	until := first.at.Add(Pause)
	return dispute{open: true, until: until, by: first.latest.Evidence, fact: first.fact() + ", a pause until " + until.UTC().Format(time.RFC3339)}
}

func (d dissent) fact() string { return d.who.name + " rebuilt it twice and got " + string(d.got) }

// dissents returns what a principal whose newest word is dissent got, each output
// once, but for those that are decided.
func (v *voice) dissents(decided []attest.Digest) (all []dissent) {
	for _, s := range v.runs {
		r := verify.As[attest.Rebuild](s.Evidence)
		if r.Result != attest.Differs || r.Output == "" || slices.Contains(decided, r.Compared.File.Got) {
			continue
		}
		i := slices.IndexFunc(all, func(d dissent) bool { return d.got == r.Compared.File.Got })
		if i < 0 {
			i = len(all)
			all = append(all, dissent{who: v.who, got: r.Compared.File.Got, at: v.credible(r.Compared.File.Got)})
		}
		all[i].latest = s
	}
	return all
}

// credible returns since when two runs of a principal agree on an output; zero:
// they do not. A run said twice is one.
func (v *voice) credible(got attest.Digest) time.Time {
	first := make(map[string]time.Time)
	for _, s := range v.runs {
		r := verify.As[attest.Rebuild](s.Evidence)
		if r.Result != attest.Differs || r.Output == "" || r.Compared.File.Got != got {
			continue
		}
		if have, ok := first[r.Run.ID]; !ok || s.at.Before(have) {
			first[r.Run.ID] = s.at
		}
	}
	var times []time.Time
	for _, at := range first {
		times = append(times, at)
	}
	if len(times) < 2 {
		return time.Time{}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times[1]
}

// seconded looks for somebody of another operator who agrees with a credible
// dissent: who got the same, or is credible too. Every dissent may be seconded,
// or an early one of the same operator would make those after it a pause.
func seconded(by dissent, dissents []dissent) (dissent, bool) {
	for _, d := range dissents {
		if d.who.clash(by.who, counting(nil)) == "" && (d.got == by.got || !d.at.IsZero()) {
			return d, true
		}
	}
	return dissent{}, false
}

// adjudicated returns the outputs that are dismissed, and an adjudication that
// upholds one, if there is any: of several about an output the newest counts.
func (g *gathering) adjudicated(r rebuilt, all []said) (dismissed []attest.Digest, upheld said) {
	newest := make(map[attest.Digest]said)
	for _, s := range all {
		a := verify.As[attest.Adjudication](s.Evidence)
		if a == nil || !g.trusts(attest.RoleAdjudicator, s.Evidence) || g.revoked.evidence(s.Evidence) != nil || s.Subject() != r.manifest || s.File() != r.file {
			continue
		}
		for _, out := range a.Outputs {
			if have, ok := newest[out]; !ok || later(s.Evidence, have.Evidence) {
				newest[out] = s
			}
		}
	}
	for out, s := range newest {
		switch {
		case verify.As[attest.Adjudication](s.Evidence).Verdict == attest.DissentDismissed:
			dismissed = append(dismissed, out)
		case upheld.Evidence == nil || later(s.Evidence, upheld.Evidence):
			upheld = s
		}
	}
	return dismissed, upheld
}

// A Dispute is what rebuilds say against an artifact, whether anybody asks for
// rebuilds or not.
type Dispute struct {
	Asked    bool             // a quorum is asked for: it pauses pulls
	Until    time.Time        // of a pause; zero: until it is adjudicated
	Evidence *verify.Evidence // a statement that says so
	Fact     string           // one line
}

// Dispute returns the dispute about the patch as it was gathered; nil: there is none.
func (p *Patch) Dispute() *Dispute {
	if p == nil {
		return nil
	}
	return p.rebuilds.tally.told(&p.under)
}

// Dispute returns the dispute about the base as it was gathered; nil: there is none.
func (b *Base) Dispute() *Dispute {
	if b == nil {
		return nil
	}
	return b.rebuilds.tally.told(&b.under)
}

func (t *tally) told(g *gathering) *Dispute {
	if !t.dispute.open {
		return nil
	}
	asked := g.trust != nil && g.trust.Rebuilds.Of(t.of.kind) != nil
	return &Dispute{Asked: asked, Until: t.dispute.until, Evidence: t.dispute.by, Fact: t.dispute.fact}
}
