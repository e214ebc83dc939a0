package auth

import (
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
		if w := s.get("host-1", s.assert("host-1", assertion.UseOnce)); w.Code != 429 {
			t.Errorf("the right key after too many failures: %d", w.Code)
		}
		s.good(s.get("host-2", s.assert("host-2", assertion.UseOnce)))

		r := httptest.NewRequest("GET", server+"/token", nil) // nobody is locked out by name
		r.RemoteAddr = "198.51.100.7:1234"
		r.SetBasicAuth("host-1", s.assert("host-1", assertion.UseOnce))
		s.good(s.serve(s.TokenHandler(), r))

		time.Sleep(window)
		s.good(s.get("host-1", s.assert("host-1", assertion.UseOnce)))
	})
}

func TestFailuresOfOnePlace(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		token := s.good(s.get("host-1", s.assert("host-1", assertion.UseClient))).Token
		for range perRemote {
			s.use("/v2/", "x.y.z")
		}
		if w := s.use("/v2/", "x.y.z"); w.Code != 429 {
			t.Errorf("one bad token too many: %d", w.Code)
		}
		if w := s.use("/v2/", token); w.Code != 200 {
			t.Errorf("a good token from the same place: %d", w.Code)
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
	if l.wait("new", "", now) != 0 || l.fail("newer", "", now.Add(window)) != 0 {
		t.Error("whoever did not fail is held up, or nothing is ever forgotten")
	}
}
