package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/pace"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/state"
)

// callers is how many of each kind are remembered for their pace, at least.
const callers = 1 << 14

// limits are how often each kind of caller may ask, and how slowly
// (docs/spec/limits.md).
type limits struct {
	serverconfig.Limits // whole
	who                 *auth.Authority
	tokens              *pace.Limiter[pace.Place]
	hosts               *pace.Limiter[string]
	publishers          *pace.Limiter[string]
	auditors            *pace.Limiter[string]
	entries, stamps     common
	meter               *meter.Meter
}

func newLimits(c serverconfig.Limits, who *auth.Authority, m *meter.Meter) *limits {
	c = c.Whole()
	return &limits{
		Limits: c, who: who, meter: m,
		tokens: limiter[pace.Place](c.Token), hosts: limiter[string](c.Host),
		publishers: limiter[string](c.Publisher), auditors: limiter[string](c.Auditor),
		entries: newCommon(c.Log, c.LogTotal), stamps: newCommon(c.Timestamp, c.TimestampTotal),
	}
}

func limiter[K comparable](r serverconfig.Rate) *pace.Limiter[K] {
	return pace.NewLimiter[K](int(r.PerSecond), int(r.Burst), callers)
}

// exchanges holds each place to the pace of /token, before anything is checked.
func (l *limits) exchanges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait := l.tokens.Take(pace.PlaceOf(r.RemoteAddr)); wait > 0 {
			l.refuse(w, r, meter.LimitToken, wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// known holds a caller who proved who they are to the pace of their kind. It
// comes after authentication: nobody spends another's share.
func (l *limits) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait, which := l.take(r); wait > 0 {
			l.refuse(w, r, which, wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (l *limits) take(r *http.Request) (wait time.Duration, which meter.Limit) {
	p := auth.Asking(r.Context())
	switch {
	case p == nil:
		return 0, 0 // whom the next handler refuses
	case p.Kind == state.KindHost:
		return l.hosts.Take(p.ID), meter.LimitHost
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return l.publishers.Take(p.ID), meter.LimitPublisher
	}
	return 0, 0
}

// queries holds an auditor to the pace of queries, and each query to its time.
func (l *limits) queries(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := auth.From(r.Context())
		if wait := l.auditors.Take(p.ID); wait > 0 {
			l.refuse(w, r, meter.LimitAuditor, wait)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(l.AuditTime))
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (l *limits) refuse(w http.ResponseWriter, r *http.Request, which meter.Limit, wait time.Duration) {
	l.meter.Hit(which)
	e := api.Errorf(http.StatusTooManyRequests, api.CodeTooMany, "too many requests")
	e.RetryAfter = wait
	l.who.Refuse(w, r, e.Hint("wait %s and try again", max(wait, time.Second).Round(time.Second)))
}

// steady lets a request below /v2/ take as long as bytes move.
func (l *limits) steady(next http.Handler) http.Handler {
	return pace.Steady(next, pace.Limits{
		BodyStall: time.Duration(l.BodyStall), BodyRate: int64(l.BodyRate), BodyWindow: time.Duration(l.BodyWindow),
		AnswerStall: time.Duration(l.AnswerStall),
	})
}

// prompt gives a request outside /v2/ a time to arrive and its answer a time
// to be taken: both are small.
func (l *limits) prompt(next http.Handler) http.Handler {
	ask, answer := time.Duration(l.RequestTime), time.Duration(l.AnswerTime)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now, c := time.Now(), http.NewResponseController(w)
		pace.Forget(r.Context())
		err := c.SetWriteDeadline(now.Add(ask + answer))
		if r.Body != nil && r.Body != http.NoBody { // else it would end the request, which is whole already
			err = errors.Join(err, c.SetReadDeadline(now.Add(ask)))
		}
		if err != nil {
			http.Error(w, "this connection cannot be timed", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// auditPage is the most rows of one answer.
func (l *limits) auditPage() int { return min(int(l.AuditPage), index.MaxLimit) }

// limited bounds the connections of a listener.
func limited(l net.Listener, c serverconfig.Limits, logger *slog.Logger, refused func()) net.Listener {
	c = c.Whole()
	return pace.Listen(l, pace.Connections{Total: connections(int(c.Connections)), Place: int(c.ConnectionsPerPlace), Proxies: proxies(c), Logger: logger, Refused: refused})
}

// connections is how many there may be at once, of so many wanted: files are
// for the journal first, so clients get at most half.
func connections(wanted int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return min(wanted, 1024)
	}
	return int(min(uint64(wanted), max(1, limit.Cur/2)))
}

// newServer returns the server of a handler, with the limits of connections.
func newServer(handler http.Handler, c serverconfig.Limits) *http.Server {
	c = c.Whole()
	return &http.Server{
		Handler:           handler,
		ConnContext:       pace.Connection,
		ReadHeaderTimeout: time.Duration(c.HeaderTime),
		IdleTimeout:       time.Duration(c.IdleTime),
		MaxHeaderBytes:    int(c.HeaderBytes),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: int(c.Streams), WriteByteTimeout: time.Duration(c.AnswerStall)},
	}
}
