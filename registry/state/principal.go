package state

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// Kinds of principals: what they prove themselves with.
const (
	KindHost  = "host"  // a host's own key
	KindKey   = "key"   // a person's or robot's key
	KindToken = "token" // a bearer token
)

// Active is the state of a principal that may do something.
const Active = "active"

// Revoked is the state of a host, or of anyone else, that never comes back.
const Revoked = "revoked"

// Suspended is the state of a host that may come back.
const Suspended = "suspended"

// Roles. A host has RoleHost in its products; RoleAdmin and RoleAuditor may be
// given in [AllProducts].
const (
	RoleHost      = "host"
	RolePublisher = "publisher"
	RoleRebuilder = "rebuilder"
	RoleAuditor   = "auditor"
	RoleAdmin     = "admin"

	AllProducts = "*"
)

// A Principal is someone who can prove who they are. The zero Principal is
// nobody.
type Principal struct {
	ID    string // UUID
	Name  string // a label, never an identity
	Kind  string
	Key   *attest.PublicKey // nil with a bearer token
	MAC   string            // of the bearer token; "" with a key
	State string            // "active" or not

	Expires  time.Time // zero: never
	ReadOnly bool      // it may ask and change nothing
	Added    time.Time // zero for a host
	By       string    // principal id of whoever added it; "" for a host
	Ended    int64     // sequence of the record that revoked it; 0: none, or a host
}

// Expired reports whether what p proves itself with has come to its end.
func (p Principal) Expired(now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}

// A Token lets one host enrol.
type Token struct {
	ID       string
	MAC      string // hex HMAC-SHA256 of the secret
	Products []string
	Expires  time.Time
	Used     bool
}

type grant struct{ principal, product, role string }

func (s *State) principal(r ledger.Record, b *ledger.PrincipalAdded) (change, error) {
	p := &Principal{
		ID: b.Principal, Name: b.Name, Kind: KindToken, MAC: b.TokenMAC, State: Active,
		Expires: b.Expires, ReadOnly: b.ReadOnly, Added: r.Time, By: b.By,
	}
	switch {
	case b.Principal == "" || s.known(b.Principal):
		return nil, fmt.Errorf("principal id %q is empty or taken", b.Principal)
	case (b.Key == "") == (b.TokenMAC == ""):
		return nil, errors.New("a principal has a key or a token, and not both")
	case b.TokenMAC != "" && s.macs[b.TokenMAC] != "":
		return nil, errors.New("the token is another principal's")
	case b.Key == "":
		return func() { s.principals[p.ID], s.macs[p.MAC] = p, p.ID }, nil
	}
	var err error
	if p.Key, err = s.freeKey(b.Key); err != nil {
		return nil, err
	}
	p.Kind = KindKey
	return func() { s.principals[p.ID], s.keys[p.Key.ID()] = p, p.ID }, nil
}

// principalEnded takes everything from someone, for good. Key and token stay
// known, so that neither becomes somebody else's.
func (s *State) principalEnded(r ledger.Record, b *ledger.PrincipalEnded) (change, error) {
	p := s.principals[b.Principal]
	switch {
	case p == nil:
		return nil, fmt.Errorf("principal %q is not known", b.Principal)
	case p.State == Revoked:
		return nil, fmt.Errorf("principal %q was revoked before", b.Principal)
	}
	ended := *p
	ended.State, ended.Ended = Revoked, r.Sequence
	return func() { s.principals[ended.ID] = &ended }, nil
}

// freeKey reads a key that is nobody's yet: a key is one identity.
func (s *State) freeKey(text string) (*attest.PublicKey, error) {
	key, err := attest.ParseLoginKey(text)
	if err != nil {
		return nil, err
	}
	if owner := s.keys[key.ID()]; owner != "" {
		return nil, fmt.Errorf("key %s is %s's", key.ID(), owner)
	}
	return key, nil
}

func (s *State) known(principal string) bool {
	return s.principals[principal] != nil || s.hosts[principal] != nil
}

func (s *State) granted(_ ledger.Record, b *ledger.Granted) (change, error) {
	switch {
	case s.principals[b.Principal] == nil:
		return nil, fmt.Errorf("principal %q is not known", b.Principal)
	case !b.Revoked && s.principals[b.Principal].State != Active:
		return nil, fmt.Errorf("principal %q is revoked", b.Principal)
	case !Grantable(b.Role):
		return nil, fmt.Errorf("role %q cannot be granted", b.Role)
	case b.Product == AllProducts && !GrantedEverywhere(b.Role):
		return nil, fmt.Errorf("role %q is granted product by product", b.Role)
	case b.Product != AllProducts && s.products[b.Product] == "":
		return nil, fmt.Errorf("product %q is not known", b.Product)
	}
	g := grant{b.Principal, b.Product, b.Role}
	return func() {
		if b.Revoked {
			delete(s.grants, g)
			return
		}
		s.grants[g] = true
	}, nil
}

// Grantable reports whether a role is one that is granted; a host's is not.
func Grantable(role string) bool { return slices.Contains(grantable(), role) }

// grantable are the roles that are granted, sorted.
func grantable() []string { return []string{RoleAdmin, RoleAuditor, RolePublisher, RoleRebuilder} }

// GrantedEverywhere reports whether a role may be granted in [AllProducts]:
// who runs the server, and who audits the journal, which is of all products.
func GrantedEverywhere(role string) bool { return role == RoleAdmin || role == RoleAuditor }

func (s *State) tokenMade(_ ledger.Record, b *ledger.TokenMade) (change, error) {
	if b.Token == "" || b.MAC == "" || s.tokens[b.Token] != nil {
		return nil, fmt.Errorf("enrolment token %q is empty or made before", b.Token)
	}
	if err := s.knownProducts(b.Products); err != nil {
		return nil, err
	}
	t := &Token{ID: b.Token, MAC: b.MAC, Products: b.Products, Expires: b.Expires}
	return func() { s.tokens[t.ID] = t }, nil
}

func (s *State) knownProducts(ids []string) error {
	if len(ids) == 0 {
		return errors.New("no products")
	}
	for i, id := range ids {
		if s.products[id] == "" {
			return fmt.Errorf("product %q is not known", id)
		}
		if slices.Contains(ids[:i], id) {
			return fmt.Errorf("product %q is named twice", id)
		}
	}
	return nil
}

// Principal returns who has this id: a host, or someone an admin added.
func (s *State) Principal(id string) (Principal, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lookup(id)
}

func (s *State) lookup(id string) (Principal, bool) {
	if h := s.hosts[id]; h != nil {
		return Principal{ID: h.ID, Name: h.Name, Kind: KindHost, Key: h.Key, State: h.State}, true
	}
	if p := s.principals[id]; p != nil {
		return *p, true
	}
	return Principal{}, false
}

// TokenPrincipal returns whose bearer token has this MAC.
func (s *State) TokenPrincipal(mac string) (Principal, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lookup(s.macs[mac])
}

// KeyOwner returns the id of the principal with this key.
func (s *State) KeyOwner(key attest.Digest) (id string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok = s.keys[key]
	return id, ok
}

// Roles returns the roles of a principal in a product, sorted: what was
// granted there or in all products, and RoleHost for a host in its own, but
// where an embargo keeps the product from it: then there is no such product for
// it. Nobody who is not active has any.
func (s *State) Roles(principal, product string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var roles []string
	if h := s.hosts[principal]; h != nil && h.State == Active && slices.Contains(h.Products, product) && !s.shutNow(h.ID, product) {
		roles = append(roles, RoleHost)
	}
	if p := s.principals[principal]; p == nil || p.State != Active {
		return roles
	}
	for _, role := range grantable() {
		if s.grants[grant{principal, product, role}] || s.grants[grant{principal, AllProducts, role}] {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return roles
}

// ProductsOf returns the ids of the products that are served and in which a
// principal has one of the roles, sorted. It is empty where there are none,
// and never nil: a nil list of products means all of them elsewhere.
func (s *State) ProductsOf(principal string, roles ...string) []string {
	ids := []string{}
	for _, id := range s.Products() {
		have := s.Roles(principal, id)
		if slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(have, role) }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Products returns the ids of the products that are served, sorted.
func (s *State) Products() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []string
	for id, repository := range s.products {
		if s.served(repository) != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Token returns the enrolment token with this public id.
func (s *State) Token(id string) (Token, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tokens[id]; t != nil {
		return *t, true
	}
	return Token{}, false
}
