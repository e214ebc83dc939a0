package registry

import (
	"net/http"
	"sync"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

// claims are bytes of quotas that blobs take whose records are on their way. Uploads
// that end at once would else be told of the same room, each of them.
type claims struct {
	mu    sync.Mutex
	ended *sync.Cond
	bytes map[account]int64
}

// An account has a quota: a repository, or in it one principal.
type account struct{ repository, principal string }

func newClaims() *claims {
	c := &claims{bytes: make(map[account]int64)}
	c.ended = sync.NewCond(&c.mu)
	return c
}

// A share is a part of a quota that a blob would take.
type share struct {
	account
	what       string
	used, most int64 // bytes on record; of the quota
}

// shares returns what a blob would take part of; none where it is there already.
func (g *Registry) shares(x *exchange, d attest.Digest) (all []share) {
	if _, ok := g.State.Blob(x.repository, d); ok {
		return nil
	}
	used, own := g.State.Usage(x.repository, x.principal.ID)
	for _, s := range []share{
		{account{x.repository, ""}, "repository " + x.repository, used, g.Limits.RepositoryBytes},
		{account{x.repository, x.principal.ID}, "your uploads to " + x.repository, own, g.Limits.PublisherBytes},
	} {
		if s.most > 0 {
			all = append(all, s)
		}
	}
	return all
}

// quota refuses a blob that would be more than the repository, or who pushes
// it, may have there.
func (g *Registry) quota(x *exchange, d attest.Digest, size int64) *api.Error {
	for _, s := range g.shares(x, d) {
		if s.used+size > s.most {
			return api.Errorf(http.StatusForbidden, api.CodeDenied, "QUOTA: %s: %d bytes are used, %d more exceed the quota of %d", s.what, s.used, size, s.most).
				Hint("delete what is not needed, or ask the server's admin for more")
		}
	}
	return nil
}

// claim takes the room of a blob until it is on record, or is not. Where others
// may be about to take what is left, it waits for what becomes of them.
func (g *Registry) claim(x *exchange, d attest.Digest, size int64) (release func(), e *api.Error) {
	c := g.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if e := g.quota(x, d, size); e != nil {
			return nil, e
		}
		shares := g.shares(x, d)
		if c.fit(shares, size) {
			return c.add(shares, size), nil
		}
		c.ended.Wait()
	}
}

func (c *claims) fit(shares []share, size int64) bool {
	for _, s := range shares {
		if s.used+c.bytes[s.account]+size > s.most {
			return false
		}
	}
	return true
}

// add notes a claim. c.mu is held.
func (c *claims) add(shares []share, size int64) (release func()) {
	for _, s := range shares {
		c.bytes[s.account] += size
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range shares {
			if c.bytes[s.account] -= size; c.bytes[s.account] == 0 {
				delete(c.bytes, s.account)
			}
		}
		c.ended.Broadcast()
	}
}
