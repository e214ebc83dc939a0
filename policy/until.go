package policy

import (
	"time"

	"github.com/patchfit/patchfit/verify"
)

// Until returns until when, and at most how much later than f.Now, Decide
// answers f alike: the first moment at which the time alone could make it
// another answer, or none would. Where no time is known it is the zero time:
// such an answer is for no moment at all.
func (f *Facts) Until(most time.Duration) time.Time {
	if f == nil || f.Now.IsZero() {
		return time.Time{}
	}
	now := f.Now.Round(0) // by the clock that facts tell the time of
	end := now.Add(most)
	for _, turn := range f.turns() {
		if turn.After(now) && turn.Before(end) {
			end = turn
		}
	}
	return end
}

// turns are the moments at which a rule comes out otherwise because of the time
// alone. Every rule that asks for f.Now has its own here.
func (f *Facts) turns() []time.Time {
	var all []time.Time
	if f.Trust != nil {
		all = append(all, f.Trust.expires)
	}
	if f.Embargoes != nil {
		for _, e := range [...]*Embargo{f.Embargoes.product, f.Embargoes.patch} {
			if e != nil {
				all = append(all, e.Until)
			}
		}
	}
	if f.Patch != nil && f.Channels != nil {
		for _, p := range f.Channels.places[f.Product][f.Patch.Artifact.Manifest] {
			all = append(all, expiry(p.in))
		}
	}
	all = append(all, f.pauses()...)
	if f.Host != nil {
		all = append(all, f.Host.Received.Add(-verify.MaxClockSkew), f.Host.Received.Add(maxRecordAge+1))
		if f.Site != nil {
			all = append(all, f.Host.Received.Add(f.Site.MaxRecordAge+1), f.Host.Received.Add(maxRecordAge+1))
		}
	}
	return all
}
