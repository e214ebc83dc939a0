package auth

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/patchfit/patchfit/registry/assertion"
)

func TestFailuresAreLimited(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		wrong := func() *httptest.ResponseRecorder {
			return s.get("host-1", s.assertBy(s.keys["host-2"], "host-1", server, assertion.UseOnce))
		}
		for i := range perPrincipal {
			if w := wrong(); w.Code != 401 {
				t.Fatalf("failure %d: %d %s", i+1, w.Code, w.Body)
			}
		}
		w := wrong()
		if w.Code != 429 || w.Header().Get("Retry-After") != "300" {
			t.Errorf("one too many: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		s.good(s.get("host-1", s.assert("host-1", assertion.UseOnce)))

		r := httptest.NewRequest("GET", server+"/token", nil) // another place has failures of its own
		r.RemoteAddr = "198.51.100.7:1234"
		r.SetBasicAuth("host-1", "secret")
		if w := s.serve(s.TokenHandler(), r); w.Code != 401 {
			t.Errorf("the first failure of another place: %d %s", w.Code, w.Body)
		}

		time.Sleep(window)
		if w := wrong(); w.Code != 401 {
			t.Errorf("the first failure of the next five minutes: %d %s", w.Code, w.Body)
		}
	})
}

// TestLockOutOfOnePlace: who fails behind an address, under whatever name,
// locks out nobody else behind it.
func TestLockOutOfOnePlace(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.good(s.get("host-1", s.assert("host-1", assertion.UseClient))).Token
		bad := []func() *httptest.ResponseRecorder{
			func() *httptest.ResponseRecorder { return s.use("/v2/", "x.y.z") },
			func() *httptest.ResponseRecorder { return s.use("/v2/", TokenPrefix+"guess") },
			func() *httptest.ResponseRecorder { return s.get("admin", TokenPrefix+"guess") },
			func() *httptest.ResponseRecorder { return s.get("host-1", "secret") },
			func() *httptest.ResponseRecorder {
				return s.get("host-1", s.assertBy(s.keys["host-2"], "host-1", server, assertion.UseOnce))
			},
		}
		for i := range 1000 {
			bad[i%len(bad)]()
		}
		for range 2 { // the good ones neither clear the failures nor add to them
			for i, fail := range bad {
				if w := fail(); w.Code != 429 || w.Header().Get("Retry-After") == "" {
					t.Errorf("bad credential %d once more: %d, Retry-After %q", i, w.Code, w.Header().Get("Retry-After"))
				}
			}
			for name, w := range map[string]*httptest.ResponseRecorder{
				"assertion, once":           s.get("host-1", s.assert("host-1", assertion.UseOnce)),
				"assertion, client":         s.get("<token>", s.assert("host-1", assertion.UseClient)),
				"bearer token, as password": s.get("admin", s.admin),
				"bearer token":              s.use("/v2/", s.admin),
				"access token":              s.use("/v2/", token),
			} {
				if w.Code != 200 {
					t.Errorf("%s from the same place: %d %s", name, w.Code, w.Body)
				}
			}
		}
	})
}

// TestChecksAreBounded: a signature is checked when there is a place for it,
// and not at all for a request that ended.
func TestChecksAreBounded(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.good(s.get("host-1", s.assert("host-1", assertion.UseClient))).Token
		another := s.good(s.get("host-1", s.assert("host-1", assertion.UseClient))).Token
		for range cap(s.checks) {
			s.checks <- struct{}{}
		}
		ask := func(token string) int {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, "GET", server+"/v2/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			return s.serve(s.echo(), r).Code
		}
		if got := ask(token); got != 503 {
			t.Errorf("no place for a second: %d, want 503", got)
		}
		time.AfterFunc(time.Second/2, func() { <-s.checks })
		if got := ask(token); got != 200 {
			t.Errorf("a place after half a second: %d, want 200", got)
		}
		if got := ask(another); got != 200 {
			t.Errorf("the place was not given back: %d, want 200", got)
		}
	})
}

func TestLimitsAreBounded(t *testing.T) {
	var l limits
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range maxCounters + 10 {
		l.fail(fmt.Sprint(i), "", now)
	}
	if n := len(l.counters); n > maxCounters {
		t.Errorf("%d counters, want at most %d", n, maxCounters)
	}
	if l.fail("new", "", now) == 0 {
		t.Error("a failure that cannot be counted is let through")
	}
	if l.fail("newer", "", now.Add(window)) != 0 {
		t.Error("nothing is ever forgotten")
	}
}
