package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchfit/patchfit/registry/assertion"
)

func TestExchange(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		for name, tt := range map[string]struct {
			w    *httptest.ResponseRecorder
			who  string
			life int64
		}{
			"GET basic, once":             {s.get("host-1", s.assert("host-1", assertion.UseOnce)), "host-1", 120},
			"GET basic, client":           {s.get("host-1", s.assert("host-1", assertion.UseClient)), "host-1", 600},
			"GET basic, identity token":   {s.get("<token>", s.assert("robot", assertion.UseClient)), "robot", 600},
			"POST refresh token":          {s.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.assert("host-1", assertion.UseOnce)}, "service": {"x"}, "client_id": {"oras"}}), "host-1", 120},
			"POST password":               {s.post(url.Values{"grant_type": {"password"}, "username": {"robot"}, "password": {s.assert("robot", assertion.UseClient)}}), "robot", 600},
			"GET basic, admin's token":    {s.get("admin", s.admin), "admin-id", 600},
			"GET basic, admin's id":       {s.get("admin-id", s.admin), "admin-id", 600},
			"POST refresh, admin's token": {s.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.admin}}), "admin-id", 600},
		} {
			a := s.good(tt.w)
			if a.Token == "" || a.Token != a.AccessToken || a.ExpiresIn != tt.life || !a.IssuedAt.Equal(time.Now().Truncate(time.Second)) {
				t.Errorf("%s: answer %+v", name, a)
			}
			if w := s.use("/v2/", a.Token); w.Code != 200 || w.Body.String() != tt.who+" true" {
				t.Errorf("%s: token is %s's, status %d", name, w.Body, w.Code)
			}
			if got := tt.w.Header().Get("Cache-Control"); got != "private, no-store" {
				t.Errorf("%s: Cache-Control %q", name, got)
			}
		}
		if w := s.use("/v1/x", s.admin); w.Body.String() != "admin-id true" {
			t.Errorf("the admin's token as a bearer token: %d %s", w.Code, w.Body)
		}
	})
}

func TestExchangeRefuses(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		old := s.assert("host-1", assertion.UseClient)
		time.Sleep(assertion.Lifetime)
		ok := func() string { return s.assert("host-1", assertion.UseOnce) }
		form := func(kv ...string) url.Values {
			v := url.Values{}
			for i := 0; i < len(kv); i += 2 {
				v.Add(kv[i], kv[i+1])
			}
			return v
		}
		for name, tt := range map[string]struct {
			w      *httptest.ResponseRecorder
			status int
			want   string
		}{
			"nothing":                   {s.get("", ""), 401, "authentication required"},
			"no secret":                 {s.get("host-1", ""), 401, "authentication required"},
			"a word":                    {s.get("host-1", "secret"), 401, "not valid"},
			"another's name":            {s.get("host-2", ok()), 401, "not valid"},
			"another's key":             {s.get("host-1", s.assertBy(s.keys["host-2"], "host-1", server, assertion.UseOnce)), 401, "not valid"},
			"the token key":             {s.get("host-1", s.assertBy(s.keys["token"], "host-1", server, assertion.UseOnce)), 401, "not valid"},
			"unknown principal":         {s.get("nobody", s.assertBy(s.keys["host-1"], "nobody", server, assertion.UseOnce)), 401, "not valid"},
			"unknown, by the token key": {s.get("nobody", s.assertBy(s.keys["token"], "nobody", server, assertion.UseOnce)), 401, "not valid"},
			"a principal without a key": {s.get("admin-id", s.assertBy(s.keys["token"], "admin-id", server, assertion.UseOnce)), 401, "not valid"},
			"another server":            {s.get("host-1", s.assertBy(s.keys["host-1"], "host-1", "https://other.example", assertion.UseOnce)), 401, "is for"},
			"over":                      {s.get("host-1", old), 401, "good until"},
			"another bearer token":      {s.get("admin", TokenPrefix+rand.Text()), 401, "not valid"},
			"bearer token, wrong name":  {s.get("host-1", s.admin), 401, "not valid"},
			"POST without a grant":      {s.post(form("refresh_token", ok())), 400, "grant_type"},
			"POST of another grant":     {s.post(form("grant_type", "client_credentials")), 400, "grant_type"},
			"POST without a token":      {s.post(form("grant_type", "refresh_token")), 400, "refresh_token"},
			"POST of two tokens":        {s.post(form("grant_type", "refresh_token", "refresh_token", ok(), "refresh_token", ok())), 400, "once"},
			"POST of two grants":        {s.post(form("grant_type", "refresh_token", "grant_type", "password", "refresh_token", ok())), 400, "once"},
			"POST without a name":       {s.post(form("grant_type", "password", "password", ok())), 400, "username"},
			"POST too long":             {s.post(form("grant_type", "refresh_token", "refresh_token", strings.Repeat("x", maxForm))), 400, "form"},
			"token in the URL":          {s.serve(s.TokenHandler(), httptest.NewRequest("POST", server+"/token?grant_type=refresh_token&refresh_token="+ok(), nil)), 400, "grant_type"},
			"PUT":                       {s.serve(s.TokenHandler(), httptest.NewRequest("PUT", server+"/token", nil)), 405, "GET and POST"},
		} {
			code, message := ociCode(t, tt.w)
			if tt.w.Code != tt.status || !strings.Contains(message, tt.want) {
				t.Errorf("%s: %d %s %q, want %d and %q", name, tt.w.Code, code, message, tt.status, tt.want)
			}
			if tt.status == 401 && (code != "UNAUTHORIZED" || !strings.HasPrefix(tt.w.Header().Get("WWW-Authenticate"), "Basic ")) {
				t.Errorf("%s: code %s, WWW-Authenticate %q", name, code, tt.w.Header().Get("WWW-Authenticate"))
			}
		}
		if strings.Contains(s.log.String(), s.admin) || strings.Contains(s.log.String(), old) {
			t.Error("a secret is in the log")
		}
	})
}

func TestReplay(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		once := s.assert("host-1", assertion.UseOnce)
		s.good(s.get("host-1", once))
		for range 2 {
			if w := s.get("host-1", once); w.Code != 401 || !strings.Contains(w.Body.String(), "exchanged before") {
				t.Errorf("the same assertion again: %d %s", w.Code, w.Body)
			}
		}
		if w := s.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {once}}); w.Code != 401 {
			t.Errorf("the same assertion the other way: %d %s", w.Code, w.Body)
		}
		client := s.assert("host-1", assertion.UseClient)
		for range 3 {
			s.good(s.get("host-1", client))
			time.Sleep(19 * time.Second)
		}
		time.Sleep(3 * time.Second)
		if w := s.get("host-1", client); w.Code != 401 {
			t.Errorf("a client's assertion after a minute: %d %s", w.Code, w.Body)
		}
	})
}

// TestReplayRace: of many exchanges of one assertion, one gets a token.
func TestReplayRace(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		once := s.assert("host-1", assertion.UseOnce)
		codes := make(chan int, 50)
		for range cap(codes) {
			go func() { codes <- s.get("host-1", once).Code }()
		}
		got := make(map[int]int)
		for range cap(codes) {
			got[<-codes]++
		}
		if got[200] != 1 {
			t.Errorf("statuses %v, want one 200", got)
		}
	})
}

// TestBeforeStart: what was made before the server started may have been used
// then; a millisecond after it is good.
func TestBeforeStart(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		before := s.assert("host-1", assertion.UseOnce)
		time.Sleep(time.Millisecond)
		s.started = time.Now()
		after := s.assert("host-1", assertion.UseOnce)
		if w := s.get("host-1", before); w.Code != 401 || !strings.Contains(w.Body.String(), "before this server started") {
			t.Errorf("made before the start: %d %s", w.Code, w.Body)
		}
		s.good(s.get("host-1", after))
	})
}

// TestReplayAcrossRestart: an assertion for one exchange gets one token,
// whatever time it says, whenever it is tried, and though the server starts in
// between and remembers nothing.
func TestReplayAcrossRestart(t *testing.T) {
	const ms = time.Millisecond
	offsets := []time.Duration{-ms, -300 * time.Microsecond, ms, assertion.MaxAhead + ms}
	for d := -assertion.Lifetime; d <= assertion.MaxAhead; d += time.Second {
		offsets = append(offsets, d)
	}
	for _, early := range []time.Duration{45 * time.Second, 29 * time.Second, 1500 * ms, 2 * ms, 200 * time.Microsecond} {
		stage(t, func(t *testing.T, s *scene) {
			start := time.Now().Add(time.Minute + ms/2) // within a millisecond, which assertions cannot tell
			texts, tokens := make([]string, len(offsets)), make([]atomic.Int32, len(offsets))
			for i, d := range offsets {
				texts[i] = s.assertAt(start.Add(d))
			}
			try := func(end time.Time) {
				ctx, cancel := context.WithDeadline(t.Context(), end)
				var wg sync.WaitGroup
				for i, text := range texts {
					r := httptest.NewRequestWithContext(ctx, "GET", server+"/token", nil)
					r.SetBasicAuth("host-1", text)
					wg.Go(func() {
						if s.serve(s.TokenHandler(), r).Code == 200 {
							tokens[i].Add(1)
						}
					})
				}
				wg.Wait()
				cancel()
			}
			time.Sleep(time.Until(start.Add(-early)))
			try(start.Add(-time.Microsecond)) // then the server ends, and its requests with it
			time.Sleep(time.Until(start))
			var err error
			if s.Authority, err = New(s.Config, nil); err != nil {
				t.Fatal(err)
			}
			for _, late := range []time.Duration{0, 2500 * ms, 10 * time.Second, 28 * time.Second, 31 * time.Second, 59 * time.Second, 89 * time.Second} {
				time.Sleep(time.Until(start.Add(late)))
				try(start.Add(late + time.Minute))
			}
			for i, d := range offsets {
				if n := tokens[i].Load(); n > 1 || n == 0 && d >= ms {
					t.Errorf("made %s after the start, first tried %s before it: %d tokens, want one", d, early, n)
				}
			}
		})
	}
}

// TestClockAhead: an assertion for one exchange is used when the server's
// clock has reached it; a clock that is further ahead has to be set.
func TestClockAhead(t *testing.T) {
	stage(t, func(t *testing.T, s *scene) {
		for _, ahead := range []time.Duration{time.Millisecond, maxAwaited} {
			made := time.Now().Add(ahead)
			a := s.good(s.get("host-1", s.assertAt(made)))
			if !time.Now().Equal(made) || !a.IssuedAt.Equal(made.Truncate(time.Second)) {
				t.Errorf("%s ahead: answered at %s, token of %s, want %s", ahead, time.Now(), a.IssuedAt, made)
			}
		}
		now := time.Now()
		for range 2 * perPrincipal { // who it is, is proven: no failure to count
			w := s.get("host-1", s.assertAt(now.Add(maxAwaited+time.Millisecond)))
			_, message := ociCode(t, w)
			if w.Code != 401 || !strings.Contains(message, "here it is "+assertion.At(now).String()) || !strings.Contains(message, "set the clock") {
				t.Fatalf("too far ahead: %d %s", w.Code, message)
			}
		}
		if !time.Now().Equal(now) {
			t.Errorf("a refusal took %s", time.Since(now))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		made := s.assertAt(now.Add(maxAwaited))
		r := httptest.NewRequestWithContext(ctx, "GET", server+"/token", nil)
		r.SetBasicAuth("host-1", made)
		if w := s.serve(s.TokenHandler(), r); w.Code != 503 {
			t.Errorf("a request that ended while it waited: %d", w.Code)
		}
		s.good(s.get("host-1", made)) // it was not used
	})
}

func TestReplaysAreBounded(t *testing.T) {
	var c replays
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range maxReplays {
		if got := c.use("p", fmt.Sprint(i), now); got != fresh {
			t.Fatalf("use %d: %v", i, got)
		}
	}
	if got := c.use("p", "more", now); got != full {
		t.Errorf("one more: %v, want full", got)
	}
	if got := c.use("p", "0", now); got != replayed {
		t.Errorf("when full, an old one: %v, want replayed", got)
	}
	if got := c.use("p", "0", now.Add(generation)); got != replayed {
		t.Errorf("after a generation: %v, want replayed", got)
	}
	if got := c.use("p", "more", now.Add(generation)); got != fresh {
		t.Errorf("one more in the next generation: %v, want fresh", got)
	}
	if got := c.use("p", "0", now.Add(2*generation)); got != fresh {
		t.Errorf("after two generations: %v, want fresh", got)
	}
	if got := c.use("q", "more", now.Add(2*generation)); got != fresh {
		t.Errorf("another's of the same id: %v, want fresh", got)
	}
}
