package auth

import (
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxRemembered is how many access tokens are remembered.
const maxRemembered = 4096

// remembered are access tokens whose signature was found good, by their sha256,
// until their time is over: a signature does not change its mind. Whether whom
// they name may do something is asked on each request all the same.
type remembered struct {
	kept *lru.Cache[[sha256.Size]byte, accessClaims]
}

func newRemembered() remembered {
	kept, _ := lru.New[[sha256.Size]byte, accessClaims](maxRemembered) // fails for a size below 1
	return remembered{kept}
}

// subject returns the principal a token names that was found good before and
// is not over.
func (m remembered) subject(token string, now time.Time) (string, bool) {
	c, ok := m.kept.Get(sumOf(token))
	if !ok || now.Unix() < c.IssuedAt || now.Unix() >= c.Expires {
		return "", false
	}
	return c.Subject, true
}

func (m remembered) add(token string, c accessClaims) { m.kept.Add(sumOf(token), c) }

// sumOf returns the sha256 of a token, of which no copy is left behind where it
// is as long as ours are.
func sumOf(token string) [sha256.Size]byte {
	var room [1024]byte
	return sha256.Sum256(append(room[:0], token...))
}
