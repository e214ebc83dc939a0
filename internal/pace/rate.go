// Package pace holds clients to a pace: not too many at once ([Listen]), not
// too often ([Limiter]), and not too slowly ([Steady]). Nothing in it knows what
// is served; docs/spec/limits.md has the numbers.
package pace

import (
	"net/netip"
	"sync"
	"time"
)

// A Limiter lets each of many callers do something so many times a second,
// after a burst. What it remembers is bounded: of callers it has not seen for
// long it forgets that they were here, which is to their favour.
//
// It is the generic cell rate algorithm: of each caller there is one number,
// the time at which its burst would be whole again.
type Limiter[K comparable] struct {
	every time.Duration // one more is due after
	burst time.Duration // that a whole burst takes to come back
	keep  int           // callers in one generation

	mu         sync.Mutex
	start      time.Time
	young, old map[K]time.Duration // since start
}

// NewLimiter returns a Limiter of perSecond, after burst at once, that
// remembers at least callers of them and at most twice as many. All are above
// zero.
func NewLimiter[K comparable](perSecond, burst, callers int) *Limiter[K] {
	every := time.Second / time.Duration(perSecond)
	return &Limiter[K]{
		every: every, burst: every * time.Duration(burst), keep: callers,
		start: time.Now(), young: make(map[K]time.Duration),
	}
}

// Take returns 0 where caller may go on now, and else how long it has to wait
// until it may: what it does not take costs it nothing.
func (l *Limiter[K]) Take(caller K) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	whole := max(l.last(caller), now) + l.every
	if wait = whole - now - l.burst; wait > 0 {
		return wait
	}
	if len(l.young) >= l.keep {
		if _, here := l.young[caller]; !here {
			l.old, l.young = l.young, make(map[K]time.Duration)
		}
	}
	l.young[caller] = whole
	return 0
}

func (l *Limiter[K]) last(caller K) time.Duration {
	if t, ok := l.young[caller]; ok {
		return t
	}
	return l.old[caller]
}

// A Place is where a client is, as far as limits tell: an IPv4 address, or an
// IPv6 network of 64 bits, which one client has all of.
type Place = netip.Prefix

// PlaceOf returns the place of an address with its port. All addresses that
// cannot be read are one place.
func PlaceOf(remote string) Place {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return Place{}
	}
	return placeOf(a.Addr())
}

func placeOf(a netip.Addr) Place {
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails for no address, whose place is the zero one
	return p
}
