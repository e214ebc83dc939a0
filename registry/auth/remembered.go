package auth

import (
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxRemembered is how many access tokens are remembered.
const maxRemembered = 4096

// remembered are access tokens whose signature was found good, by their text,
// until their time is over: a signature does not change its mind. Whether whom
// they name may do something is asked on each request all the same.
//
// A text is found by a hash with a secret of the process's own, and compared
// whole only with what has that hash: how long it takes tells nothing of it.
type remembered struct {
	kept *lru.Cache[string, accessClaims]
}

func newRemembered() remembered {
	kept, _ := lru.New[string, accessClaims](maxRemembered) // fails for a size below 1
	return remembered{kept}
}

// subject returns the principal a token names that was found good before and
// is not over.
func (m remembered) subject(token string, now time.Time) (string, bool) {
	c, ok := m.kept.Get(token)
	if !ok || now.Unix() < c.IssuedAt || now.Unix() >= c.Expires {
		return "", false
	}
	return c.Subject, true
}

// add remembers a copy: token is part of all that came with it.
func (m remembered) add(token string, c accessClaims) { m.kept.Add(strings.Clone(token), c) }
