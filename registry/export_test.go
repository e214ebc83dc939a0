package registry

// Slow has distribution answer everything, or not.
func (g *Registry) Slow(yes bool) { g.slow = yes }
