package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/registry/auth"
)

const (
	entriesPath = "/api/v2/log/entries"
	stampsPath  = "/api/v1/timestamp"
)

// post sends to a handler from an address.
func post(h http.Handler, method, path, from string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestLogAndTimestampsHaveAPace: of each place and of all, 429 with the time to
// wait, in the form of the route, and after that time one goes on.
func TestLogAndTimestampsHaveAPace(t *testing.T) {
	for path, c := range map[string]struct {
		own, total string
		body       string
		guard      func(*limits, http.Handler) http.Handler
	}{
		entriesPath: {"log", "logTotal", `{"code":8,"details":[],"message":"too many entries; wait `, (*limits).logging},
		stampsPath:  {"timestamp", "timestampTotal", `{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests; wait `, (*limits).stamping},
	} {
		t.Run(c.own, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				place, total := serverconfig.Rate{PerSecond: 1, Burst: 2}, serverconfig.Rate{PerSecond: 1, Burst: 4}
				m := meter.New(meter.Config{Read: func() meter.State { return meter.State{} }})
				l := newLimits(serverconfig.Limits{Log: place, LogTotal: total, Timestamp: place, TimestampTotal: total}, &auth.Authority{}, m)
				read := 0
				h := c.guard(l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { read++ }))
				for range 2 {
					if w := post(h, http.MethodPost, path, "192.0.2.1:1"); w.Code != http.StatusOK {
						t.Fatalf("within the burst: %d", w.Code)
					}
				}
				w := post(h, http.MethodPost, path, "192.0.2.1:2")
				if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.HasPrefix(w.Body.String(), c.body) || read != 2 {
					t.Errorf("beyond it: %d, Retry-After %q, %s; %d were read", w.Code, w.Header().Get("Retry-After"), w.Body, read)
				}
				for i := range 2 { // whoever was refused did not use up what others may
					if w := post(h, http.MethodPost, path, "192.0.2.2:1"); w.Code != http.StatusOK {
						t.Errorf("another place, %d: %d", i, w.Code)
					}
				}
				if w := post(h, http.MethodPost, path, "192.0.2.3:1"); w.Code != http.StatusTooManyRequests {
					t.Errorf("a third place when all are too many: %d", w.Code)
				}
				var scrape bytes.Buffer
				sw := httptest.NewRecorder()
				m.Handler().ServeHTTP(sw, httptest.NewRequest(http.MethodGet, "/metrics", nil))
				_, _ = io.Copy(&scrape, sw.Body)
				if own, all := value(scrape.String(), `patchfitd_limits_hit_total{limit="`+c.own+`"}`), value(scrape.String(), `patchfitd_limits_hit_total{limit="`+c.total+`"}`); own != "1" || all != "1" {
					t.Errorf("counted %q and %q", own, all)
				}
				time.Sleep(time.Second)
				if w := post(h, http.MethodPost, path, "192.0.2.3:1"); w.Code != http.StatusOK {
					t.Errorf("after the time to wait: %d", w.Code)
				}
			})
		})
	}
}

// TestReadingTheLogIsFree: monitors and verifiers take nobody's turn.
func TestReadingTheLogIsFree(t *testing.T) {
	one := serverconfig.Rate{PerSecond: 1, Burst: 1}
	l := newLimits(serverconfig.Limits{Log: one, LogTotal: one}, nil, meter.New(meter.Config{}))
	h := l.logging(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 5 {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if w := post(h, method, "/api/v2/checkpoint", "192.0.2.1:1"); w.Code != http.StatusOK {
				t.Fatalf("%s: %d", method, w.Code)
			}
		}
	}
	if w := post(h, http.MethodPost, entriesPath, "192.0.2.1:1"); w.Code != http.StatusOK {
		t.Errorf("an entry after that: %d", w.Code)
	}
}

// TestPlacesBehindAProxy: a whole server, whose peer is a trusted proxy, keeps
// its clients apart; one that is not trusted can say what it wants.
func TestPlacesBehindAProxy(t *testing.T) {
	one := serverconfig.Rate{PerSecond: 1, Burst: 1}
	for trusted, want := range map[bool]int{true: http.StatusUnsupportedMediaType, false: http.StatusTooManyRequests} {
		c := serverconfig.Limits{Timestamp: one}
		if trusted {
			var n serverconfig.Network
			if err := n.UnmarshalText([]byte("127.0.0.1/32")); err != nil {
				t.Fatal(err)
			}
			c.TrustedProxies = []serverconfig.Network{n}
		}
		addr := serving(t, c)
		for i := range 3 {
			r, err := http.NewRequest(http.MethodPost, "http://"+addr+stampsPath, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Forwarded-For", "192.0.2."+strconv.Itoa(i))
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if i > 0 && resp.StatusCode != want {
				t.Errorf("trusted %v: client %d gets %d, want %d", trusted, i, resp.StatusCode, want)
			}
		}
	}
}
