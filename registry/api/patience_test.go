package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// busy answers 429 so many times, and notes the bodies it got.
type busy struct {
	times  int
	after  string
	bodies []string
}

func (b *busy) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	b.bodies = append(b.bodies, string(text))
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	if len(b.bodies) <= b.times {
		resp.StatusCode = http.StatusTooManyRequests
		resp.Header.Set("Retry-After", b.after)
	}
	return resp, nil
}

// TestClientWaitsWhenToldTo: a server that is asked too often is asked again
// after the time it says, with the whole request, and not for ever.
func TestClientWaitsWhenToldTo(t *testing.T) {
	for name, tc := range map[string]struct {
		times  int
		after  string
		opaque bool // the body cannot be read again
		status int
		tries  int
		took   time.Duration
	}{
		"not busy":        {0, "1", false, 200, 1, 0},
		"once":            {1, "2", false, 200, 2, 2 * time.Second},
		"for long":        {mostWaits, "10", false, 200, mostWaits + 1, mostWaits * 10 * time.Second},
		"for ever":        {1000, "1", false, 429, mostWaits + 1, mostWaits * time.Second},
		"says for long":   {1, "11", false, 429, 1, 0},
		"says nothing":    {1, "", false, 429, 1, 0},
		"says a date":     {1, "Sat, 01 Jan 2000 00:00:01 GMT", false, 429, 1, 0},
		"a body for once": {1, "1", true, 429, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, err := http.NewRequest(http.MethodPost, "https://x/", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				if tc.opaque {
					req.GetBody = nil
				}
				b, began := &busy{times: tc.times, after: tc.after}, time.Now()
				resp, err := patient{b}.RoundTrip(req)
				if err != nil || resp.StatusCode != tc.status || len(b.bodies) != tc.tries || time.Since(began) != tc.took {
					t.Errorf("%v, %v after %d tries and %v; want %d after %d and %v", resp, err, len(b.bodies), time.Since(began), tc.status, tc.tries, tc.took)
				}
				for _, body := range b.bodies {
					if body != "hello" {
						t.Errorf("sent %q", body)
					}
				}
			})
		})
	}
}

func TestClientStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://x/", strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = patient{&busy{times: 1, after: "10"}}.RoundTrip(req)
		if !errors.Is(err, ctx.Err()) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}
