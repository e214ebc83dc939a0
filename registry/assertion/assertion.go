// Package assertion is how hosts and robots say who they are: a sentence
// "I am P, talking to server S, now", signed with a key of their own that
// signs nothing else, and good for a minute. A server exchanges it for an
// access token at /token.
//
// It is made by the agent, the command line and the credential helper, and
// read by the server; it holds no code of either. docs/spec/auth.md.
package assertion

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// Type is the typ of an assertion's header.
const Type = "patchfit-assertion+jwt"

// Lifetime is how long an assertion is good for.
const Lifetime = 60 * time.Second

// MaxAhead is how far the clock of who made an assertion may be ahead of the
// server's.
const MaxAhead = 30 * time.Second

const idBytes = 16

// A Use says how often an assertion may be exchanged.
type Use string

// The uses. Stock OCI clients exchange what a credential helper gave them
// more than once; everything of ours asks for a fresh assertion.
const (
	UseOnce   Use = "once"
	UseClient Use = "client"
)

// Claims are what an assertion says. Issuer and Subject are the same.
type Claims struct {
	Issuer   string  `json:"iss"` // principal id
	Subject  string  `json:"sub"` // principal id
	Audience string  `json:"aud"` // the server's base URL
	IssuedAt Instant `json:"iat"`
	Expires  Instant `json:"exp"` // at most Lifetime after IssuedAt
	ID       string  `json:"jti"` // 128 random bits, base64url
	Use      Use     `json:"use"`
}

// New returns an assertion, signed with principal's own key, that it talks to
// the server at audience (its base URL) at the time now.
func New(signer crypto.Signer, principal, audience string, use Use, now time.Time) (string, error) {
	id := make([]byte, idBytes)
	rand.Read(id) // never fails: crypto/rand ends the process instead
	claims := Claims{
		Issuer: principal, Subject: principal, Audience: audience, Use: use,
		IssuedAt: At(now), Expires: At(now.Add(Lifetime)),
		ID: base64.RawURLEncoding.EncodeToString(id),
	}
	if err := claims.wellFormed(); err != nil {
		return "", err
	}
	return Sign(Type, signer, claims)
}

// Parsed is an assertion whose claims are well formed and unverified.
type Parsed struct {
	UnverifiedClaims Claims
	jws              *Unverified
}

// Parse reads an assertion's text. Its claims are what its sender says until
// Verify has returned nil.
func Parse(text string) (*Parsed, error) {
	p := &Parsed{}
	var err error
	if p.jws, err = Read(Type, text, &p.UnverifiedClaims); err != nil {
		return nil, fmt.Errorf("reading the assertion: %w", err)
	}
	if err := p.UnverifiedClaims.wellFormed(); err != nil {
		return nil, fmt.Errorf("reading the assertion: %w", err)
	}
	return p, nil
}

// Verify returns the claims if key, the subject's, signed them for the server
// at audience and they hold at the time now.
func (p *Parsed) Verify(key *attest.PublicKey, audience string, now time.Time) (Claims, error) {
	if err := p.jws.Verify(key); err != nil {
		return Claims{}, fmt.Errorf("assertion of %s: %w", p.UnverifiedClaims.Subject, err)
	}
	c := p.UnverifiedClaims
	switch {
	case c.Audience != audience:
		return Claims{}, fmt.Errorf("assertion is for %.200q, this server is %q", c.Audience, audience)
	case c.IssuedAt.Time().After(now.Add(MaxAhead)):
		return Claims{}, fmt.Errorf("assertion is of %s and here it is %s: one of the clocks is wrong", c.IssuedAt, At(now))
	case !c.Expires.Time().After(now):
		return Claims{}, fmt.Errorf("assertion was good until %s and here it is %s", c.Expires, At(now))
	}
	return c, nil
}

// wellFormed checks what needs neither key nor clock.
func (c Claims) wellFormed() error {
	id, err := base64.RawURLEncoding.Strict().DecodeString(c.ID)
	switch {
	case c.Subject == "" || len(c.Subject) > 64:
		return fmt.Errorf("/sub: not a principal id")
	case c.Issuer != c.Subject:
		return fmt.Errorf("/iss: %.80q is not the subject %.80q", c.Issuer, c.Subject)
	case c.Audience == "" || len(c.Audience) > 512:
		return fmt.Errorf("/aud: not a server address")
	case err != nil || len(id) != idBytes || base64.RawURLEncoding.EncodeToString(id) != c.ID: // the decoder passes over line breaks
		return fmt.Errorf("/jti: not %d bytes in base64url", idBytes)
	case c.Use != UseOnce && c.Use != UseClient:
		return fmt.Errorf("/use: %.20q is neither %q nor %q", string(c.Use), UseOnce, UseClient)
	}
	if life := c.Expires.Time().Sub(c.IssuedAt.Time()); life <= 0 || life > Lifetime {
		return fmt.Errorf("/exp: %s after /iat; it must be between 0 and %s", life, Lifetime)
	}
	return nil
}
