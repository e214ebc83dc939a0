package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func connect(t *testing.T, h http.HandlerFunc) (*client, string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	c, err := dial(address, nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return c, address
}

// TestClient asks for answers of every shape on one connection: whatever is
// left over of one would be the beginning of the next.
func TestClient(t *testing.T) {
	const big = 3 << 20
	c, address := connect(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunked":
			w.(http.Flusher).Flush()
			io.WriteString(w, strings.Repeat("c", big))
		case "/refused":
			http.Error(w, "go away", http.StatusForbidden)
		case "/refused-long":
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, strings.Repeat("n", 100))
		case "/upload":
			n, _ := io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "/there?left=1")
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, strings.Repeat("u", int(n)))
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Length", "3145728")
			io.WriteString(w, strings.Repeat("b", big))
		}
	})
	for _, unread := range []bool{false, true} {
		c.unread = unread
		for _, q := range []struct {
			method, path string
			want         answer
		}{
			{http.MethodGet, "/big", answer{status: 200, size: big}},
			{http.MethodHead, "/big", answer{status: 200}},
			{http.MethodGet, "/chunked", answer{status: 200, size: big}},
			{http.MethodGet, "/none", answer{status: 204}},
			{http.MethodGet, "/refused", answer{status: 403, said: "go away"}},
			{http.MethodGet, "/refused-long", answer{status: 403, said: strings.Repeat("n", 100)}},
			{http.MethodGet, "/big", answer{status: 200, size: big}},
			{http.MethodPut, "/upload", answer{status: 202, size: 5, location: "/there?left=1"}},
			{http.MethodGet, "/big", answer{status: 200, size: big}},
		} {
			parts := [][]byte{requestHead(q.method, q.path, address, http.Header{"Accept": {"*/*"}}, -1)}
			if q.method == http.MethodPut {
				parts = [][]byte{requestHead(q.method, q.path, address, nil, 5), []byte("12"), []byte("345")}
			}
			got, err := c.do(q.method, parts...)
			if err != nil || got != q.want {
				t.Fatalf("%s %s: %+v, %v, want %+v", q.method, q.path, got, err, q.want)
			}
		}
	}
}

func TestClientEndsWithItsServer(t *testing.T) {
	for _, unread := range []bool{false, true} {
		c, address := connect(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			io.WriteString(w, "less")
			panic(http.ErrAbortHandler)
		})
		c.unread = unread
		if a, err := c.do(http.MethodGet, requestHead(http.MethodGet, "/", address, nil, -1)); err == nil {
			t.Errorf("unread %v: a body that was cut off was taken: %+v", unread, a)
		}
	}
}

func TestExpect(t *testing.T) {
	if err := (answer{status: 200}).expect(200); err != nil {
		t.Error(err)
	}
	if err := (answer{status: 403, said: "no"}).expect(200); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("got %v", err)
	}
}

func TestLoad(t *testing.T) {
	_, address := connect(t, func(http.ResponseWriter, *http.Request) {})
	var calls atomic.Int64
	count := func(*client) error { calls.Add(1); return nil }
	for _, l := range []load{{clients: 4, times: 10, work: count}, {clients: 1, times: 10, window: time.Minute, work: count}} {
		calls.Store(0)
		if got, err := l.drive(context.Background(), address); err != nil || got.done != 10 || calls.Load() != 10 {
			t.Errorf("%d clients: %d done, %d calls, %v", l.clients, got.done, calls.Load(), err)
		}
	}
	broken := errors.New("broken")
	l := load{clients: 2, window: time.Minute, work: func(*client) error {
		if calls.Add(1) > 100 {
			return broken
		}
		return nil
	}}
	if _, err := l.drive(context.Background(), address); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := (load{clients: 1, window: time.Minute, work: count}).drive(ended, address); err == nil {
		t.Errorf("nothing was done and it is a figure: %+v", got)
	}
}
