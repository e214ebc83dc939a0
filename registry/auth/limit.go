package auth

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/patchfit/patchfit/registry/api"
)

// Limits of failures. Nobody is locked out by name alone: what counts is the
// pair of where a failure came from and whose name it bore, and then the place.
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

// wait returns how long a place has to wait before it may try a name again;
// 0: not at all.
func (l *limits) wait(remote, principal string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.left(source{remote, principal}, perPrincipal, now), l.left(source{remote: remote}, perRemote, now))
}

// fail counts a failure and returns how long to wait from here on.
func (l *limits) fail(remote, principal string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.count(source{remote: remote}, perRemote, now)
	if principal != "" {
		wait = max(wait, l.count(source{remote, principal}, perPrincipal, now))
	}
	return wait
}

func (l *limits) left(s source, limit int, now time.Time) time.Duration {
	c := l.counters[s]
	if s.principal == "" && limit == perPrincipal || c == nil || c.n < limit {
		return 0
	}
	return max(0, c.since.Add(window).Sub(now))
}

func (l *limits) count(s source, limit int, now time.Time) time.Duration {
	c := l.counters[s]
	if c == nil || now.Sub(c.since) >= window {
		if c == nil && !l.room(now) {
			return window // nothing is forgotten to make room; whoever does not fail is not asked
		}
		c = &counter{since: now}
		l.counters[s] = c
	}
	wait := l.left(s, limit, now)
	c.n++
	return wait
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

// Limited returns the error to answer with where a place has failed too often
// to prove something under a name; nil: it may try.
func (a *Authority) Limited(r *http.Request, name string) *api.Error {
	if wait := a.limits.wait(remote(r), name, time.Now()); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

// Failed counts a failure to prove something under a name, and returns what to
// answer: e, or that it was once too often.
func (a *Authority) Failed(r *http.Request, name string, e *api.Error) *api.Error {
	return a.failed(r, name, e)
}
