package gate

import (
	"time"

	"github.com/patchfit/patchfit/registry/state"
)

// Remembered returns how many answers g has in memory.
func Remembered(g *Gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.answers) + len(g.retired)
}

// Forget makes the next use of every answer its first.
func Forget(g *Gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.answers)
}

// Holds reports whether an answer of [from, until) stands at now.
func Holds(from, until, now time.Time) bool {
	s := span{from: from, until: until}
	return s.has(state.Grounds{}, now)
}
