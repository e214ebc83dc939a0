package policy

import (
	"slices"
	"time"
)

// An Embargo keeps a product, or one patch of it, from every host that it does
// not name. A server imposes it and takes it away; no signed document knows it,
// because what names a product tells of it (docs/spec/embargo.md).
type Embargo struct {
	Until time.Time // the first moment it holds for nobody; zero: until it is lifted
	Hosts []string  // ids of those it does not hold for
}

// Holds reports whether the embargo keeps what it is of from a host. None keeps
// nothing from anybody.
func (e *Embargo) Holds(host string, now time.Time) bool {
	if e == nil || !e.Until.IsZero() && !now.IsZero() && !now.Before(e.Until) {
		return false
	}
	return !slices.Contains(e.Hosts, host)
}

// end tells until when.
func (e *Embargo) end() string {
	if e.Until.IsZero() {
		return "embargoed until that is lifted"
	}
	return "embargoed until " + e.Until.UTC().Format(time.RFC3339)
}

// Embargoes are those that one decision has to heed. Nil is not "none": whoever
// does not know the embargoes allows nothing.
type Embargoes struct{ product, patch *Embargo }

// NewEmbargoes returns the embargo of the product and that of the patch; nil:
// there is none.
func NewEmbargoes(product, patch *Embargo) *Embargoes { return &Embargoes{product, patch} }

// embargoed tells what is kept from the host. Then no other rule tells anything
// of the patch: what is withheld is not described either.
func (f *view) embargoed() (held, complete bool) {
	switch {
	case f.Host == nil || f.Patch == nil:
		return false, false
	case f.Embargoes == nil:
		f.missing("knowledge of the product's embargoes")
		return false, true
	}
	for i, e := range [...]*Embargo{f.Embargoes.product, f.Embargoes.patch} {
		if e.Holds(f.Host.ID, f.Now) {
			f.differs([...]string{"the product", "the patch"}[i], "handed out to this host", e.end())
			held = true
		}
	}
	return held, true
}
