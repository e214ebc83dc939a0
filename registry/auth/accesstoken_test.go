package auth

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/registry/assertion"
)

// jwt returns claims signed as an access token, whatever they say.
func (s *scene) jwt(k *ecdsa.PrivateKey, head, claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(head)) + "." + enc([]byte(claims))
	sum := sha256.Sum256([]byte(text))
	r, x, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return text + "." + enc(append(r.FillBytes(make([]byte, 32)), x.FillBytes(make([]byte, 32))...))
}

func TestAccessTokenForms(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		const head = `{"alg":"ES256","typ":"JWT"}`
		now := time.Now().Unix()
		claims := fmt.Sprintf(`{"aud":%q,"exp":%d,"iat":%d,"iss":%q,"jti":"x","sub":"host-1"}`, server, now+120, now, server)
		own := s.keys["token"]
		if w := s.use("/v2/", s.jwt(own, head, claims)); w.Code != 200 {
			t.Fatalf("the one without a difference: %d %s", w.Code, w.Body)
		}
		change := func(from, to string) string {
			if !strings.Contains(claims, from) {
				t.Fatalf("%s is not in %s", from, claims)
			}
			return s.jwt(own, head, strings.Replace(claims, from, to, 1))
		}
		enc := base64.RawURLEncoding.EncodeToString
		unsigned := enc([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + enc([]byte(claims)) + "."
		hs := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc([]byte(claims))
		mac := func(key []byte) string {
			m := hmac.New(sha256.New, key)
			m.Write([]byte(hs))
			return hs + "." + enc(m.Sum(nil))
		}
		for name, token := range map[string]string{
			"alg none":               unsigned,
			"HS256, public key PEM":  mac(s.key.PEM()),
			"HS256, public key DER":  mac(s.key.DER()),
			"another key":            s.jwt(s.keys["host-1"], head, claims),
			"a key of its own":       s.jwt(s.keys["host-1"], `{"alg":"ES256","jwk":{"kty":"EC"},"typ":"JWT"}`, claims),
			"an assertion":           s.assert("host-1", assertion.UseClient),
			"another audience":       change(`"aud":"`+server, `"aud":"https://other.example`),
			"another issuer":         change(`"iss":"`+server, `"iss":"https://other.example`),
			"no subject":             change(`,"sub":"host-1"`, ``),
			"empty subject":          change(`"sub":"host-1"`, `"sub":""`),
			"subject nobody has":     change(`"sub":"host-1"`, `"sub":"nobody"`),
			"no jti":                 change(`"jti":"x",`, ``),
			"empty jti":              change(`"jti":"x"`, `"jti":""`),
			"no iat":                 change(fmt.Sprintf(`"iat":%d,`, now), ``),
			"no exp":                 change(fmt.Sprintf(`"exp":%d,`, now+120), ``),
			"no aud":                 change(fmt.Sprintf(`"aud":%q,`, server), ``),
			"no iss":                 change(fmt.Sprintf(`"iss":%q,`, server), ``),
			"made in the future":     change(fmt.Sprint(`"iat":`, now), fmt.Sprint(`"iat":`, now+1)),
			"good for too long":      change(fmt.Sprint(`"exp":`, now+120), fmt.Sprint(`"exp":`, now+601)),
			"good for ever":          change(fmt.Sprint(`"exp":`, now+120), `"exp":253402300799`),
			"over before it began":   change(fmt.Sprint(`"exp":`, now+120), fmt.Sprint(`"exp":`, now-1)),
			"overflow":               change(fmt.Sprint(`"iat":`, now), `"iat":-9223372036854775808`),
			"duplicate claim":        change(`"sub":"host-1"`, `"sub":"host-1","sub":"host-2"`),
			"unknown claim":          change(`"jti"`, `"access":[],"jti"`),
			"claim in another case":  change(`"sub"`, `"SUB"`),
			"nothing":                "",
			"a bearer token's start": TokenPrefix,
		} {
			w := s.use("/v2/", token)
			if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), `Bearer realm="`+server+`/token",service="patches.example:8443"`) {
				t.Errorf("%s: %d %s, WWW-Authenticate %q", name, w.Code, w.Body, w.Header().Get("WWW-Authenticate"))
			}
		}
	})
}

func TestAccessTokenEnds(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.good(s.get("host-1", s.assert("host-1", assertion.UseOnce))).Token
		time.Sleep(119 * time.Second)
		if w := s.use("/v2/", token); w.Code != 200 {
			t.Errorf("after 119 s: %d %s", w.Code, w.Body)
		}
		time.Sleep(2 * time.Second)
		for range 2 * perRemote { // a client that goes on is no attacker
			if w := s.use("/v2/", token); w.Code != 401 || !strings.Contains(w.Body.String(), "over") {
				t.Fatalf("after 121 s: %d %s", w.Code, w.Body)
			}
		}
	})
}
