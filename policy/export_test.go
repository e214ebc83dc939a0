package policy

// Anew returns the facts as if nothing had been looked up when they were
// gathered. Which base is which stays.
func Anew(f *Facts) *Facts {
	if f == nil {
		return nil
	}
	next, bases := *f, make(map[*Base]*Base)
	base := func(b *Base) *Base {
		if b == nil {
			return nil
		}
		if bases[b] == nil {
			c := *b
			c.under, c.vetted, c.imported, c.rebuilds.tally = gathering{}, [4]vetted{}, [1]vetted{}, tally{}
			bases[b] = &c
		}
		return bases[b]
	}
	if f.Patch != nil {
		p := *f.Patch
		p.under, p.vetted, p.beside, p.Base, p.rebuilds.tally = gathering{}, [2]vetted{}, [4]vetted{}, base(p.Base), tally{}
		next.Patch = &p
	}
	if f.Host != nil {
		h := *f.Host
		h.Bases = nil
		for _, b := range f.Host.Bases {
			h.Bases = append(h.Bases, base(b))
		}
		next.Host = &h
	}
	return &next
}
