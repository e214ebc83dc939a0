package auth

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/patchfit/patchfit/registry/api"
)

// Limits of failures. They tell whoever goes on failing to wait, and refuse
// nobody whose credential is good: many may share an address, and anyone may
// fail under any name. What counts is the pair of where a failure came from
// and whose name it bore, and then the place.
const (
	perPrincipal = 10 // failures of one name from one place …
	perRemote    = 100
	window       = 5 * time.Minute // … within this time
	maxCounters  = 1 << 14
)

// limits counts failures. The zero value is ready.
type limits struct {
	mu       sync.Mutex
	counters map[source]*counter
}

type source struct{ remote, principal string }

// A counter is the failures since a time.
type counter struct {
	since time.Time
	n     int
}

// fail counts a failure and returns how long to wait from here on; 0: it was
// not yet one too many.
func (l *limits) fail(remote, principal string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.count(source{remote: remote}, perRemote, now)
	if principal != "" {
		wait = max(wait, l.count(source{remote, principal}, perPrincipal, now))
	}
	return wait
}

func (l *limits) count(s source, limit int, now time.Time) time.Duration {
	c := l.counters[s]
	if c == nil || now.Sub(c.since) >= window {
		if c == nil && !l.room(now) {
			return window // nothing is forgotten to make room
		}
		c = &counter{since: now}
		l.counters[s] = c
	}
	if c.n < limit {
		c.n++
		return 0
	}
	return c.since.Add(window).Sub(now)
}

// room makes sure there is space for one more counter.
func (l *limits) room(now time.Time) bool {
	if l.counters == nil {
		l.counters = make(map[source]*counter)
	}
	if len(l.counters) < maxCounters {
		return true
	}
	for s, c := range l.counters {
		if now.Sub(c.since) >= window {
			delete(l.counters, s)
		}
	}
	return len(l.counters) < maxCounters
}

func tooMany(wait time.Duration) *api.Error {
	e := api.Errorf(http.StatusTooManyRequests, api.CodeTooMany, "too many attempts")
	e.RetryAfter = wait
	return e.Hint("wait %s and try again", wait.Round(time.Second))
}

// remote returns the address a request came from, without its port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Failed counts a failure to prove something under a name, and returns what to
// answer: e, or that it was once too often. Whoever proved it is never counted.
func (a *Authority) Failed(r *http.Request, name string, e *api.Error) *api.Error {
	return a.failed(r, name, e)
}
