package control

import (
	"net/http"
	"sync"
	"time"

	"github.com/patchfit/patchfit/registry/api"
)

// What one host may have recorded: each record is kept for good.
const (
	maxRecords   = 6
	recordWindow = time.Minute
)

// A pace knows when hosts had their last records taken, of each host at most
// maxRecords times. They are not facts: a restart forgets them. The zero value
// is ready.
type pace struct {
	mu     sync.Mutex
	byHost map[string][]time.Time // within the window, oldest first
	swept  time.Time
}

// take counts a record of a host, or returns how long the host has to wait
// until it may send one.
func (p *pace) take(host string, now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
	times := within(p.byHost[host], now)
	if len(times) >= maxRecords {
		return times[0].Add(recordWindow).Sub(now)
	}
	p.byHost[host] = append(times, now)
	return 0
}

// sweep forgets, once in a window, the hosts that sent nothing in it.
func (p *pace) sweep(now time.Time) {
	if p.byHost == nil {
		p.byHost = make(map[string][]time.Time)
	}
	if now.Sub(p.swept) < recordWindow {
		return
	}
	p.swept = now
	for host, times := range p.byHost {
		if len(within(times, now)) == 0 {
			delete(p.byHost, host)
		}
	}
}

// within returns those of times that count still.
func within(times []time.Time, now time.Time) []time.Time {
	for len(times) > 0 && now.Sub(times[0]) >= recordWindow {
		times = times[1:]
	}
	return times
}

func tooManyRecords(host string, wait time.Duration) *api.Error {
	e := api.Errorf(http.StatusTooManyRequests, api.CodeTooMany, "host %s sent more than %d records within %s", host, maxRecords, recordWindow)
	e.RetryAfter = wait
	return e.Hint("wait %s and send the record again", wait.Round(time.Second))
}
