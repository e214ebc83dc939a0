package control

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// Limits of challenges.
const (
	challengeLife = 5 * time.Minute
	maxChallenges = 4 // open ones per host; a fifth replaces the oldest
)

// challenges are the nonces hosts may answer, each once. They are not facts: a
// host whose challenge went with a restart asks for another. The zero value is
// ready.
type challenges struct {
	mu     sync.Mutex
	byHost map[string][]challenge
}

type challenge struct {
	nonce   string
	expires time.Time
}

// issue makes a challenge for a host.
func (c *challenges) issue(host string, now time.Time) (nonce string, expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHost == nil {
		c.byHost = make(map[string][]challenge)
	}
	list := slices.DeleteFunc(c.byHost[host], func(x challenge) bool { return !now.Before(x.expires) })
	if len(list) >= maxChallenges {
		list = slices.Delete(list, 0, 1)
	}
	fresh := challenge{rand.Text(), now.Add(challengeLife)}
	c.byHost[host] = append(list, fresh)
	return fresh.nonce, fresh.expires
}

// open returns nonce if it is an open challenge of host, and else "", which
// answers no challenge.
func (c *challenges) open(host, nonce string, now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.byHost[host] {
		if x.nonce == nonce && now.Before(x.expires) {
			return nonce
		}
	}
	return ""
}

// use closes a challenge.
func (c *challenges) use(host, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.DeleteFunc(c.byHost[host], func(x challenge) bool { return x.nonce == nonce })
	if c.byHost[host] = list; len(list) == 0 {
		delete(c.byHost, host)
	}
}
