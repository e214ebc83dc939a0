package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/registry/assertion"
	"github.com/patchfit/patchfit/registry/state"
)

// remembered returns a token of host-1 whose signature was found good and that
// needs no further check: every place for checks is taken from here on.
func (s *scene) remembered() (token string) {
	s.t.Helper()
	token = s.good(s.get("host-1", s.assert("host-1", assertion.UseClient))).Token
	if w := s.use("/v2/", token); w.Code != 200 {
		s.t.Fatalf("first use: %d %s", w.Code, w.Body)
	}
	for range cap(s.checks) {
		s.checks <- struct{}{}
	}
	if w := s.use("/v2/", token); w.Code != 200 {
		s.t.Fatalf("later use: %d %s", w.Code, w.Body)
	}
	return token
}

// TestRememberedStateAtEachRequest: whose signature need not be checked again
// is no less out at the next request.
func TestRememberedStateAtEachRequest(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.remembered()
		for _, to := range []string{state.Suspended, state.Revoked, ""} {
			s.people.set("host-1", to)
			if code, message := ociCode(t, s.use("/v2/", token)); code != "DENIED" || !strings.Contains(message, "HOST_NOT_ACTIVE") {
				t.Errorf("state %q: %s %s", to, code, message)
			}
		}
		s.people.set("host-1", state.Active)
		if w := s.use("/v2/", token); w.Code != 200 {
			t.Errorf("active again: %d %s", w.Code, w.Body)
		}
		delete(s.people.byID, "host-1")
		if w := s.use("/v2/", token); w.Code != 401 {
			t.Errorf("not known: %d %s", w.Code, w.Body)
		}
	})
}

// TestRememberedEnds: what is remembered ends when the token does, to the second,
// and is not good before it was made, should the clock go back.
func TestRememberedEnds(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.remembered()
		if who, ok := s.known.subject(token, time.Now().Add(-time.Second)); ok {
			t.Errorf("before it was made it names %q", who)
		}
		over := time.Now().Truncate(time.Second).Add(clientLifetime)
		time.Sleep(time.Until(over) - time.Nanosecond)
		if w := s.use("/v2/", token); w.Code != 200 {
			t.Errorf("at the last moment: %d %s", w.Code, w.Body)
		}
		time.Sleep(time.Nanosecond)
		for range cap(s.checks) {
			<-s.checks
		}
		if w := s.use("/v2/", token); w.Code != 401 || !strings.Contains(w.Body.String(), "over") {
			t.Errorf("when it is over: %d %s", w.Code, w.Body)
		}
	})
}

// TestRememberedIsThatText: one character more, less or other is another token.
func TestRememberedIsThatText(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.remembered()
		for range cap(s.checks) {
			<-s.checks
		}
		for i := range token {
			b := []byte(token)
			if b[i]++; s.use("/v2/", string(b)).Code == 200 {
				t.Fatalf("with another character %d it is good", i)
			}
		}
		for _, text := range []string{token[1:], token[:len(token)-1], token + "=", token + "A", token + " ", strings.Repeat(token, 20)} {
			if s.use("/v2/", text).Code == 200 {
				t.Errorf("%q is good", text)
			}
		}
	})
}

// TestOnlyGoodIsRemembered: nothing that was refused is, and no server knows
// another's tokens.
func TestOnlyGoodIsRemembered(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.good(s.get("host-1", s.assert("host-1", assertion.UseOnce))).Token
		for _, text := range []string{token + "A", "x", s.jwt(s.keys["host-1"], `{"alg":"ES256","typ":"JWT"}`, `{}`)} {
			s.use("/v2/", text)
		}
		time.Sleep(onceLifetime)
		s.use("/v2/", token)
		if n := s.known.kept.Len(); n != 0 {
			t.Errorf("%d remembered, and none was good", n)
		}
		good := s.remembered()
		other := newScene(t)
		if w := other.use("/v2/", good); w.Code != 401 {
			t.Errorf("at a server with another key: %d %s", w.Code, w.Body)
		}
	})
}

// BenchmarkRequired measures what each request pays to say who it is of. The
// goal for a token seen before is a few µs; its signature alone takes some 60.
func BenchmarkRequired(b *testing.B) {
	s := newScene(b)
	token, err := s.newAccessToken("host-1", time.Now(), clientLifetime)
	if err != nil {
		b.Fatal(err)
	}
	passed := 0
	h := s.Required(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }))
	for name, forget := range map[string]bool{"again": false, "first": true} {
		b.Run(name, func(b *testing.B) {
			r, w := httptest.NewRequestWithContext(context.Background(), "GET", server+"/v2/", nil), httptest.NewRecorder()
			r.Header.Set("Authorization", fmt.Sprint("Bearer ", token))
			passed = 0
			asked := 0
			b.ReportAllocs()
			for b.Loop() {
				if forget {
					s.known.kept.Purge()
				}
				h.ServeHTTP(w, r)
				asked++
			}
			if passed != asked {
				b.Fatalf("%d of %d let through: %s", passed, asked, w.Body)
			}
		})
	}
}
