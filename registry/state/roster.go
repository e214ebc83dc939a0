package state

import (
	"cmp"
	"slices"
)

// A Role is a role in a product.
type Role struct{ Product, Role string }

// Principals returns everyone an admin added, by
// name and then id. Hosts are not among them.
func (s *State) Principals() []Principal {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Principal, 0, len(s.principals))
	for _, p := range s.principals {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Principal) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Granted returns what a principal was granted and not taken, by product and
// role. It says nothing about whether they are active.
func (s *State) Granted(principal string) []Role {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Role
	for g := range s.grants {
		if g.principal == principal {
			all = append(all, Role{g.product, g.role})
		}
	}
	slices.SortFunc(all, func(a, b Role) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Role, b.Role))
	})
	return all
}
