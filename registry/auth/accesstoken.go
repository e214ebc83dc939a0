package auth

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/patchfit/patchfit/registry/assertion"
)

// accessTokenType is the typ of an access token's header (RFC 7519).
const accessTokenType = "JWT"

// How long access tokens are good for. A stock client has to finish a copy
// with one; our own programs ask again.
const (
	onceLifetime   = 120 * time.Second
	clientLifetime = 600 * time.Second
)

// Errors of access tokens.
var (
	errOver  = errors.New("access token is over")
	errToken = errors.New("not an access token of this server")
)

// accessClaims are what an access token says, all of them required and no
// other allowed.
type accessClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"` // principal id
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"` // seconds since 1970
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
}

func (a *Authority) newAccessToken(principal string, now time.Time, life time.Duration) (string, error) {
	return assertion.Sign(accessTokenType, a.Signer, accessClaims{
		Issuer: a.URL, Subject: principal, Audience: a.URL,
		IssuedAt: now.Unix(), Expires: now.Add(life).Unix(), ID: rand.Text(),
	})
}

// readAccessToken returns the principal an access token names: errOver where
// its time is over, errToken where anything else is wrong.
func (a *Authority) readAccessToken(text string, now time.Time) (principal string, err error) {
	var c accessClaims
	t, err := assertion.Read(accessTokenType, text, &c)
	if err != nil || t.Verify(a.key) != nil {
		return "", errToken
	}
	switch {
	case c.Issuer != a.URL || c.Audience != a.URL || c.Subject == "" || c.ID == "":
		return "", errToken
	case c.IssuedAt < 0 || c.IssuedAt > now.Unix():
		return "", errToken
	case c.Expires <= c.IssuedAt || c.Expires-c.IssuedAt > int64(clientLifetime/time.Second):
		return "", errToken
	case now.Unix() >= c.Expires:
		return "", errOver
	}
	a.known.add(text, c)
	return c.Subject, nil
}
