package assertion

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)

const server = "https://patches.example:8443"

func newKey(t testing.TB) (*ecdsa.PrivateKey, *attest.PublicKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k, pub
}

func TestRoundTrip(t *testing.T) {
	k, pub := newKey(t)
	for _, ms := range []int{0, 1, 120, 123, 999} {
		at := now.Truncate(time.Second).Add(time.Duration(ms) * time.Millisecond)
		text, err := New(k, "host-1", server, UseOnce, at)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c, err := p.Verify(pub, server, at)
		if err != nil {
			t.Fatal(err)
		}
		if c.Subject != "host-1" || c.Issuer != "host-1" || c.Audience != server || c.Use != UseOnce || !c.IssuedAt.Time().Equal(at) || !c.Expires.Time().Equal(at.Add(Lifetime)) {
			t.Errorf("claims %+v", c)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	k, _ := newKey(t)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() (string, error){
		"no principal": func() (string, error) { return New(k, "", server, UseOnce, now) },
		"no audience":  func() (string, error) { return New(k, "p", "", UseOnce, now) },
		"unknown use":  func() (string, error) { return New(k, "p", server, "twice", now) },
		"RSA key":      func() (string, error) { return New(rsaKey, "p", server, UseOnce, now) },
		"Ed25519 key":  func() (string, error) { return New(ed, "p", server, UseOnce, now) },
		"year 1":       func() (string, error) { return New(k, "p", server, UseOnce, time.Time{}) },
	} {
		if text, err := make(); err == nil {
			t.Errorf("%s: made %s", name, text)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	k, pub := newKey(t)
	_, other := newKey(t)
	text, err := New(k, "p", server, UseOnce, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key      *attest.PublicKey
		audience string
		at       time.Time
		want     string
	}{
		"wrong key":                  {other, server, now, "signature"},
		"no key":                     {nil, server, now, "signature"},
		"wrong audience":             {pub, "https://other.example", now, "is for"},
		"audience with a slash more": {pub, server + "/", now, "is for"},
		"over":                       {pub, server, now.Add(Lifetime), "good until"},
		"made too far ahead":         {pub, server, now.Add(-MaxAhead - time.Millisecond), "clocks"},
	} {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := p.Verify(tt.key, tt.audience, tt.at); err == nil || !strings.Contains(err.Error(), tt.want) || c != (Claims{}) {
			t.Errorf("%s: claims %v, error %v, want %q", name, c, err, tt.want)
		}
	}
	p, _ := Parse(text)
	for _, at := range []time.Time{now.Add(-MaxAhead), now.Add(Lifetime - time.Millisecond)} {
		if _, err := p.Verify(pub, server, at); err != nil {
			t.Errorf("at the edge: %v", err)
		}
	}
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

const claims = `{"aud":"https://patches.example:8443","exp":1772366460,"iat":1772366400,"iss":"p","jti":"AAAAAAAAAAAAAAAAAAAAAA","sub":"p","use":"once"}`

// by signs a header and claims, whatever they are.
func by(t testing.TB, k *ecdsa.PrivateKey, head, body string) string {
	text := encode(head) + "." + encode(body)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

const head = `{"alg":"ES256","typ":"` + Type + `"}`

// TestForms: what is not exactly an assertion is refused before any key is
// looked at, each for one difference.
func TestForms(t *testing.T) {
	k, pub := newKey(t)
	sign := func(head, body string) string { return by(t, k, head, body) }
	if p, err := Parse(sign(head, claims)); err != nil {
		t.Fatalf("the one without a difference: %v", err)
	} else if _, err := p.Verify(pub, server, time.Unix(1772366401, 0)); err != nil {
		t.Fatalf("the one without a difference: %v", err)
	}
	for _, forms := range []map[string]string{headers(pub, sign), texts(sign), bodies(t, sign)} {
		for name, text := range forms {
			if p, err := Parse(text); err == nil {
				t.Errorf("%s: parsed as %+v", name, p.UnverifiedClaims)
			}
		}
	}
}

// headers are assertions with another header.
func headers(pub *attest.PublicKey, sign func(head, body string) string) map[string]string {
	hs := encode(`{"alg":"HS256","typ":"`+Type+`"}`) + "." + encode(claims)
	mac := hmac.New(sha256.New, pub.PEM())
	mac.Write([]byte(hs))
	return map[string]string{
		"alg none":                encode(`{"alg":"none","typ":"`+Type+`"}`) + "." + encode(claims) + ".",
		"alg none, signed":        sign(`{"alg":"none","typ":"`+Type+`"}`, claims),
		"HS256 by the public key": hs + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"alg ES384":               sign(`{"alg":"ES384","typ":"`+Type+`"}`, claims),
		"an access token's type":  sign(`{"alg":"ES256","typ":"JWT"}`, claims),
		"no type":                 sign(`{"alg":"ES256"}`, claims),
		"a key in the header":     sign(`{"alg":"ES256","jwk":{},"typ":"`+Type+`"}`, claims),
		"a key id in the header":  sign(`{"alg":"ES256","kid":"1","typ":"`+Type+`"}`, claims),
		"criticals":               sign(`{"alg":"ES256","crit":["b64"],"typ":"`+Type+`"}`, claims),
		"header with a space":     sign(`{"alg": "ES256","typ":"`+Type+`"}`, claims),
	}
}

// texts are assertions whose text was changed.
func texts(sign func(head, body string) string) map[string]string {
	good := sign(head, claims)
	return map[string]string{
		"no signature":       good[:strings.LastIndex(good, ".")+1],
		"two segments":       good[:strings.LastIndex(good, ".")],
		"four segments":      good + ".x",
		"line break":         good[:20] + "\n" + good[20:],
		"padding":            good + "=",
		"JSON serialization": `{"payload":"` + encode(claims) + `","protected":"` + encode(head) + `","signature":"x"}`,
		"empty":              "",
	}
}

// bodies are assertions of other claims.
func bodies(t *testing.T, sign func(head, body string) string) map[string]string {
	change := func(from, to string) string {
		if !strings.Contains(claims, from) {
			t.Fatalf("%s is not in %s", from, claims)
		}
		return sign(head, strings.Replace(claims, from, to, 1))
	}
	return map[string]string{
		"unknown claim":           change(`{"aud"`, `{"admin":true,"aud"`),
		"duplicate claim":         change(`"sub":"p"`, `"sub":"p","sub":"q"`),
		"claim in another case":   change(`"sub"`, `"Sub"`),
		"no sub":                  change(`"sub":"p",`, ``),
		"empty sub":               change(`"iss":"p","jti":"AAAAAAAAAAAAAAAAAAAAAA","sub":"p"`, `"iss":"","jti":"AAAAAAAAAAAAAAAAAAAAAA","sub":""`),
		"iss is not sub":          change(`"iss":"p"`, `"iss":"q"`),
		"no jti":                  change(`"jti":"AAAAAAAAAAAAAAAAAAAAAA",`, ``),
		"jti in two lines":        change(`"jti":"AAAA`, `"jti":"AAAA\n`),
		"short jti":               change(`"jti":"AAAAAAAAAAAAAAAAAAAAAA"`, `"jti":"AAAA"`),
		"no aud":                  change(`"aud":"https://patches.example:8443",`, ``),
		"aud list":                change(`"https://patches.example:8443"`, `["https://patches.example:8443"]`),
		"no iat":                  change(`"iat":1772366400,`, ``),
		"no exp":                  change(`"exp":1772366460,`, ``),
		"good for 61 s":           change(`1772366460`, `1772366461`),
		"good for nothing":        change(`"exp":1772366460`, `"exp":1772366400`),
		"good for less":           change(`"exp":1772366460`, `"exp":1772366300`),
		"exp as text":             change(`1772366460`, `"1772366460"`),
		"exp in another form":     change(`1772366460`, `1.77236646e9`),
		"exp with a zero decimal": change(`1772366460`, `1772366460.0`),
		"exp with four decimals":  change(`1772366460`, `1772366459.1234`),
		"exp null":                change(`1772366460`, `null`),
		"unknown use":             change(`"once"`, `"often"`),
		"trailing data":           sign(head, claims+"{}"),
		"not JSON":                sign(head, "x"),
		"longer than the limit":   sign(head, strings.Replace(claims, `"p"`, `"`+strings.Repeat("p", maxText)+`"`, 2)),
		"sub of 65 characters":    sign(head, strings.ReplaceAll(claims, `"p"`, `"`+strings.Repeat("p", 65)+`"`)),
	}
}

// TestTampered changes each character of an assertion's claims and signature.
func TestTampered(t *testing.T) {
	k, pub := newKey(t)
	text, err := New(k, "p", server, UseClient, now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		b := []byte(text)
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		p, err := Parse(string(b))
		if err != nil {
			continue
		}
		if _, err := p.Verify(pub, server, now); !errors.Is(err, ErrSignature) {
			t.Fatalf("character %d changed: error %v, want ErrSignature", i, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	k, pub := newKey(f)
	text, err := New(k, "p", server, UseOnce, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(encode(`{"alg":"none","typ":"`+Type+`"}`) + "." + encode(claims) + ".")
	f.Add(header(Type) + "." + encode(claims) + ".AAAA")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := Parse(in)
		if err != nil {
			return
		}
		again, err := Sign(Type, k, p.UnverifiedClaims)
		if err != nil {
			t.Fatalf("accepted %q and cannot say it again: %v", in, err)
		}
		q, err := Parse(again)
		if err != nil || q.UnverifiedClaims != p.UnverifiedClaims {
			t.Errorf("accepted %+v and reads back as %+v, error %v", p.UnverifiedClaims, q, err)
		}
		if _, err := p.Verify(pub, server, now); err == nil && in != text {
			t.Errorf("verified an assertion nobody made: %q", in)
		}
	})
}
