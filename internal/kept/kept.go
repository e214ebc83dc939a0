// Package kept keeps in memory what was read from elsewhere and found whole,
// for as long as that is still the version that was read.
//
// Whoever keeps something has hashed it: what is in memory has its digest,
// whatever becomes of where it came from. That place is looked at again, once
// in a while and not at each use, so that damage there is noticed soon, and
// bytes nobody has any more are not handed out for long.
package kept

import (
	"context"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// LookEvery is how long something is believed to be where it came from without
// a look, where nobody says otherwise.
const LookEvery = time.Second

// A Cache keeps values of type T by their keys, each with the version, V, of
// what it was read from. It is safe for concurrent use.
type Cache[K, V comparable, T any] struct {
	every time.Duration
	look  func(context.Context, K) (V, error)
	start time.Time
	all   *lru.Cache[K, *entry[V, T]]
}

type entry[V comparable, T any] struct {
	version V
	value   T
	looked  atomic.Int64 // nanoseconds after the cache's start
}

// New returns a cache of at most so many values, above zero. look returns the
// version of what a key's value was read from, as it is now; it is asked once
// in every at most.
func New[K, V comparable, T any](values int, every time.Duration, look func(context.Context, K) (V, error)) *Cache[K, V, T] {
	all, _ := lru.New[K, *entry[V, T]](values) // fails for a size below 1
	return &Cache[K, V, T]{every: every, look: look, start: time.Now(), all: all}
}

// Get returns what is kept under key, unless it was read from what is gone or
// another by now. It is not to be changed.
func (c *Cache[K, V, T]) Get(ctx context.Context, key K) (T, bool) {
	e, ok := c.all.Get(key)
	if !ok {
		var none T
		return none, false
	}
	now, last := int64(time.Since(c.start)), e.looked.Load()
	if now-last < int64(c.every) || !e.looked.CompareAndSwap(last, now) { // one look is enough for all who ask
		return e.value, true
	}
	if v, err := c.look(ctx, key); err != nil || v != e.version {
		c.all.Remove(key)
		var none T
		return none, false
	}
	return e.value, true
}

// Add keeps value, which was read from this version just now, and found whole.
func (c *Cache[K, V, T]) Add(key K, version V, value T) {
	e := &entry[V, T]{version: version, value: value}
	e.looked.Store(int64(time.Since(c.start)))
	c.all.Add(key, e)
}

// Remove forgets what is kept under key.
func (c *Cache[K, V, T]) Remove(key K) { c.all.Remove(key) }
