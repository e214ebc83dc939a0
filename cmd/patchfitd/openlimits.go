package main

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/pace"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry/api"
)

// common is the pace of what is open to everybody: of each place, and of all
// together.
type common struct {
	places *pace.Limiter[pace.Place]
	total  *pace.Limiter[struct{}]
}

func newCommon(place, total serverconfig.Rate) common {
	return common{places: limiter[pace.Place](place), total: limiter[struct{}](total)}
}

// take returns how long a place has to wait, and which limit says so. A place
// that has to wait costs the others nothing.
func (c common) take(p pace.Place, own, all meter.Limit) (time.Duration, meter.Limit) {
	if wait := c.places.Take(p); wait > 0 {
		return wait, own
	}
	return c.total.Take(struct{}{}), all
}

// logging holds what is sent to the log to its pace, before it is read: a
// signature costs to check, and an entry is there for good. Reading is free.
func (l *limits) logging(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if wait, which := l.entries.take(pace.PlaceOf(r.RemoteAddr), meter.LimitLog, meter.LimitLogTotal); wait > 0 {
			l.meter.Hit(which)
			refuseEntry(w, wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// resourceExhausted is the code of gRPC that Rekor's clients know.
const resourceExhausted = 8

// refuseEntry answers in the form of the log's own errors (docs/spec/log.md).
func refuseEntry(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.FormatInt(seconds(wait), 10))
	w.Header().Set("Cache-Control", "no-store")
	api.WriteJSON(w, http.StatusTooManyRequests, struct {
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Details []string `json:"details"`
	}{resourceExhausted, "too many entries; wait " + strconv.FormatInt(seconds(wait), 10) + " s and send the same again", []string{}})
}

// seconds rounds a wait up: who asks again after it is not too early.
func seconds(wait time.Duration) int64 { return int64((wait + time.Second - 1) / time.Second) }

// stamping holds requests for timestamps to their pace, before they are read.
func (l *limits) stamping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait, which := l.stamps.take(pace.PlaceOf(r.RemoteAddr), meter.LimitTimestamp, meter.LimitTimestampTotal); wait > 0 {
			l.refuse(w, r, which, wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// proxies are those of the configuration.
func proxies(c serverconfig.Limits) pace.Proxies {
	var all pace.Proxies
	for _, n := range c.TrustedProxies {
		all = append(all, netip.Prefix(n))
	}
	return all
}
