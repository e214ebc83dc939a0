package auth

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/patchfit/patchfit/registry/state"
)

// TestRemembered: a token that was found good is not verified again, is over
// when it is over, and opens nothing to whoever may do nothing by now.
func TestRemembered(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		now := time.Now()
		token, err := s.newAccessToken("host-1", now, onceLifetime)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.known.subject(token, now); ok {
			t.Fatal("a token nobody showed is known")
		}
		for range 2 {
			if w := s.use("/v2/", token); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		if who, ok := s.known.subject(token, now); !ok || who != "host-1" {
			t.Errorf("known as %q, %v", who, ok)
		}
		if w := s.use("/v2/", token+"x"); w.Code != http.StatusUnauthorized {
			t.Errorf("one like it: %d", w.Code)
		}
		s.people.set("host-1", state.Suspended)
		if w := s.use("/v2/", token); w.Code != http.StatusForbidden {
			t.Errorf("a suspended host: %d %s", w.Code, w.Body)
		}
		s.people.set("host-1", state.Active)
		time.Sleep(onceLifetime) // the bubble's
		if w := s.use("/v2/", token); w.Code != http.StatusUnauthorized {
			t.Errorf("a token that is over: %d %s", w.Code, w.Body)
		}
	})
}

// TestRememberedIsBounded: however many tokens there are.
func TestRememberedIsBounded(t *testing.T) {
	m := newRemembered()
	for i := range maxRemembered + 10 {
		m.add(fmt.Sprint(i), accessClaims{})
	}
	if n := m.kept.Len(); n > maxRemembered {
		t.Errorf("%d tokens are remembered", n)
	}
}

func BenchmarkRememberedToken(b *testing.B) {
	m := newRemembered()
	now := time.Now()
	token := fmt.Sprintf("%700d", 1)
	m.add(token, accessClaims{Subject: "host-1", IssuedAt: now.Unix(), Expires: now.Unix() + 60})
	for b.Loop() {
		if _, ok := m.subject(token, now); !ok {
			b.Fatal("forgotten")
		}
	}
}
