package auth

import (
	"sync"
	"time"

	"github.com/patchfit/patchfit/registry/assertion"
)

// maxReplays is how many used assertions are remembered per generation.
const maxReplays = 1 << 16

// generation is longer than any assertion is good for after it was used:
// it may have been made on a clock that is ahead.
const generation = assertion.Lifetime + assertion.MaxAhead

// outcomes of using an assertion.
type outcome int

const (
	fresh outcome = iota
	replayed
	full
)

// replays remembers which assertions were used, in two generations: an entry
// is forgotten only when the generation after its own is over, and its
// assertion with it. A full generation takes no more, it does not forget.
// The zero value is ready.
type replays struct {
	mu            sync.Mutex
	since         time.Time // start of now
	now, previous map[used]bool
}

type used struct{ subject, id string }

func (c *replays) use(subject, id string, now time.Time) outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	u := used{subject, id}
	switch {
	case c.now[u] || c.previous[u]:
		return replayed
	case len(c.now) >= maxReplays:
		return full
	}
	c.now[u] = true
	return fresh
}

// turn begins a generation where the last is over.
func (c *replays) turn(now time.Time) {
	switch age := now.Sub(c.since); {
	case c.now == nil || age >= 2*generation:
		c.previous, c.now, c.since = nil, make(map[used]bool), now
	case age >= generation:
		c.previous, c.now, c.since = c.now, make(map[used]bool), now
	}
}
