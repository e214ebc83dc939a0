package policy

import (
	"strconv"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// The rules about rebuilds.

// kinds are the artifacts that are rebuilt, and how people call them.
var kinds = [...]struct{ artifactType, name string }{
	{attest.ArtifactPatch, "the patch"}, {attest.ArtifactBase, "the base"},
}

// asked returns the quorum of a kind of artifact; nil: none is asked for.
func (f *view) asked(artifactType string) *attest.Quorum {
	return f.under.trust.Rebuilds.Of(artifactType)
}

// tally returns what rebuilds of the patch or its base come to: as it was
// gathered, where it is the same artifact under the same trust policy and
// revocations, and else counted anew. It is nil where there is no such artifact.
func (f *view) tally(artifactType string) *tally {
	if f.Patch == nil || f.Patch.Base == nil {
		return nil
	}
	under, of, all := &f.Patch.under, f.Patch.rebuilt(), &f.Patch.rebuilds
	if artifactType == attest.ArtifactBase {
		under, of, all = &f.Patch.Base.under, f.Patch.Base.rebuilt(), &f.Patch.Base.rebuilds
	}
	if under.is(f.Trust, f.Product, f.Revoked) && all.tally.of == of {
		return &all.tally
	}
	anew := f.under.tally(of, all.said)
	return &anew
}

// rebuildsAgree pauses what is in dispute, where a quorum is asked for.
func (f *view) rebuildsAgree() bool {
	if f.under.trust == nil || f.Patch == nil || f.Patch.Base == nil {
		return false
	}
	for _, k := range kinds {
		if f.asked(k.artifactType) == nil {
			continue
		}
		d := &f.tally(k.artifactType).dispute
		if !d.open || !d.until.IsZero() && !f.Now.Before(d.until) {
			continue
		}
		f.ev = d.by
		f.differs("rebuilds of "+k.name, "agreed, or adjudicated", d.fact)
		f.found[len(f.found)-1].Remedy = disputeRemedy
	}
	return true
}

const disputeRemedy = "find out why the rebuild came out otherwise (patchfit audit rebuilds names its output); an adjudicator of the trust policy decides: patchfit attest --type adjudication"

// rebuildQuorum asks for as many rebuilds as the trust policy does.
func (f *view) rebuildQuorum() bool {
	if f.under.trust == nil || f.Patch == nil || f.Patch.Base == nil {
		return false
	}
	for _, k := range kinds {
		q := f.asked(k.artifactType)
		if q == nil {
			continue
		}
		if t := f.tally(k.artifactType); !t.enough {
			f.differs("rebuilders that reproduced "+k.name, strconv.Itoa(q.Reproduced)+", each of another "+strings.Join(counting(q), ", "), t.got)
		}
	}
	return true
}

// baseReproduced reports whether somebody who counts reproduced the base. It is
// not looked for where nobody asks.
func (f *view) baseReproduced() bool {
	if f.Site.MinimumAssurance.Base != BaseReproduced {
		return false
	}
	t := f.tally(attest.ArtifactBase)
	return t != nil && len(t.counted) > 0
}

// pauses are the moments at which a dispute pauses pulls no more.
func (f *Facts) pauses() (all []time.Time) {
	v := view{Facts: f, under: newGathering(f.Trust, f.Product, f.Revoked)}
	if v.under.trust == nil {
		return nil
	}
	for _, k := range kinds {
		if v.asked(k.artifactType) == nil {
			continue
		}
		if t := v.tally(k.artifactType); t != nil && t.dispute.open {
			all = append(all, t.dispute.until)
		}
	}
	return all
}

// countedRebuilds are the rebuilds that a decision stands on: where a quorum is
// asked for.
func (f *Facts) countedRebuilds() (all []attest.Digest) {
	v := view{Facts: f, under: newGathering(f.Trust, f.Product, f.Revoked)}
	if v.under.trust == nil {
		return nil
	}
	for _, k := range kinds {
		if v.asked(k.artifactType) == nil {
			continue
		}
		if t := v.tally(k.artifactType); t != nil {
			for _, e := range t.counted {
				all = append(all, e.Payload())
			}
		}
	}
	return all
}
