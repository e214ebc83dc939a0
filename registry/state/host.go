package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// A Host is an enrolled host and what it said last.
type Host struct {
	ID       string
	Name     string
	State    string
	Key      *attest.PublicKey
	Products []string
	// Cloned: its key spoke for one boot, for a later one, and for the first
	// again. Boot ids do not come back, so two machines have the key.
	Cloned   bool
	Record   *attest.HostRecord // newest valid; nil: none
	Envelope attest.Digest      // of Record
	Received time.Time          // when the server took Record

	sequence int64           // highest taken, also before the key was replaced
	boots    map[string]bool // every boot that spoke with this key
}

// clone returns a copy to change; a Host that was handed out stays as it is.
func (h *Host) clone() *Host {
	c := *h
	return &c
}

// hostEnrolled takes a new host, which used up a token, or a change of state
// of a known one, which an admin made.
func (s *State) hostEnrolled(_ ledger.Record, b *ledger.HostEnrolled) (change, error) {
	if !slices.Contains([]string{Active, Suspended, Revoked}, b.State) {
		return nil, fmt.Errorf("host state %q is not known", b.State)
	}
	if err := s.knownProducts(b.Products); err != nil {
		return nil, err
	}
	if h := s.hosts[b.Host]; h != nil {
		return s.hostChanged(h, b)
	}
	t := s.tokens[b.Token]
	switch {
	case b.Host == "" || s.known(b.Host):
		return nil, fmt.Errorf("host id %q is empty or taken", b.Host)
	case t == nil || t.Used:
		return nil, fmt.Errorf("enrolment token %q is not known or was used", b.Token)
	case !slices.Equal(t.Products, b.Products):
		return nil, fmt.Errorf("host is in %v, its token says %v", b.Products, t.Products)
	}
	key, err := s.freeKey(b.Key)
	if err != nil {
		return nil, err
	}
	h := &Host{ID: b.Host, Name: b.Name, State: b.State, Key: key, Products: b.Products}
	used := *t
	used.Used = true
	return func() { s.hosts[h.ID], s.keys[key.ID()], s.tokens[t.ID] = h, h.ID, &used }, nil
}

func (s *State) hostChanged(h *Host, b *ledger.HostEnrolled) (change, error) {
	switch {
	case b.Token != "":
		return nil, fmt.Errorf("host %s is enrolled and came with a token", h.ID)
	case h.State == Revoked && b.State != Revoked:
		return nil, fmt.Errorf("host %s is revoked for good", h.ID)
	case b.Key != h.Key.Base64():
		return nil, errors.New("the key of a host does not change")
	}
	next := h.clone()
	next.Name, next.State, next.Products = b.Name, b.State, b.Products
	return func() { s.hosts[h.ID] = next }, nil
}

func (s *State) hostRecorded(r ledger.Record, b *ledger.HostRecorded) (change, error) {
	h := s.hosts[b.Host]
	if h == nil {
		return nil, fmt.Errorf("host %q is not known", b.Host)
	}
	envelope, err := s.blobs.Get(b.Envelope)
	if err != nil {
		return nil, fmt.Errorf("host record: %w", err)
	}
	record, err := verify.StoredHostRecord(envelope, h.Key, h.ID)
	if err != nil {
		return nil, fmt.Errorf("host record %s of %s: %w", b.Envelope, h.ID, err)
	}
	if record.Sequence != b.Sequence || record.Sequence <= h.sequence {
		return nil, fmt.Errorf("host record %s of %s has sequence %d, the journal says %d and %d was taken before", b.Envelope, h.ID, record.Sequence, b.Sequence, h.sequence)
	}
	next := h.clone()
	next.Record, next.Envelope, next.Received, next.sequence = record, b.Envelope, r.Time, record.Sequence
	next.Cloned = h.Cloned || h.Record != nil && h.Record.BootID != record.BootID && h.boots[record.BootID]
	return func() {
		if next.boots == nil {
			next.boots = make(map[string]bool)
		}
		next.boots[record.BootID] = true
		s.hosts[h.ID] = next
	}, nil
}

// Host returns what is known of a host.
func (s *State) Host(id string) (*Host, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok := s.hosts[id]
	return h, ok
}

// Hosts returns every host that is in a product, sorted by id.
func (s *State) Hosts(product string) []*Host {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*Host
	for _, h := range s.hosts {
		if slices.Contains(h.Products, product) {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *Host) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Sequence returns the sequence of the newest record taken from h; 0: none.
func (h *Host) Sequence() int64 { return h.sequence }

// Bases returns the bases that a host's record resolves to, in all products
// that are served, in the order of the record.
func (s *State) Bases(host string) []*policy.Base {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := s.hosts[host]
	if h == nil || !s.ready {
		return nil
	}
	var all []*policy.Base
	for _, id := range h.Products {
		if repo := s.served(s.products[id]); repo != nil {
			all = append(all, repo.resolve(s.trust.decisions, h)...)
		}
	}
	return all
}
