package pace

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// counting is a connection that counts the deadlines it is given.
type counting struct {
	net.Conn
	set int
}

func (c *counting) SetReadDeadline(t time.Time) error {
	c.set++
	return c.Conn.SetReadDeadline(t)
}

var longAgo = time.Unix(1, 0) // as net/http has it

// lazily runs a test with a lazy reader and the other end of its connection,
// within a bubble.
func lazily(t *testing.T, test func(t *testing.T, l *lazyReader, c *counting, other net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		ours, other := net.Pipe()
		defer ours.Close()
		defer other.Close()
		c := &counting{Conn: ours}
		test(t, &lazyReader{conn: c, began: time.Now()}, c, other)
	})
}

func in(d time.Duration) time.Time { return time.Now().Add(d) }

// ends reads, and fails unless the time for it is over after so long.
func ends(t *testing.T, what string, l *lazyReader, after time.Duration) {
	t.Helper()
	began := time.Now()
	n, err := l.Read(make([]byte, 1))
	if took := time.Since(began); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || took != after {
		t.Errorf("%s: %d bytes, %v, after %v, want to be over after %v", what, n, err, took, after)
	}
	if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() { // net/http unwraps nothing
		t.Errorf("%s: %v, a %T, says not that it is over", what, err, err)
	}
}

// TestLazyDeadlines: whoever reads waits for as long as they are to, however the
// deadline was moved before and while they wait, and not a moment longer.
func TestLazyDeadlines(t *testing.T) {
	const short, long = time.Second, time.Minute
	for name, test := range map[string]func(t *testing.T, l *lazyReader){
		"once": func(t *testing.T, l *lazyReader) {
			_ = l.SetReadDeadline(in(short))
			ends(t, "once", l, short)
			ends(t, "again", l, 0)
		},
		"later than before": func(t *testing.T, l *lazyReader) {
			_ = l.SetReadDeadline(in(short))
			ends(t, "short", l, short)
			_ = l.SetReadDeadline(in(long))
			ends(t, "long", l, long)
		},
		"earlier than before": func(t *testing.T, l *lazyReader) {
			_ = l.SetReadDeadline(in(short))
			ends(t, "short", l, short)
			_ = l.SetReadDeadline(in(long))
			_ = l.SetReadDeadline(in(short / 2))
			ends(t, "shorter", l, short/2)
		},
		"later, while it is waited": func(t *testing.T, l *lazyReader) {
			_ = l.SetReadDeadline(in(short))
			time.AfterFunc(short/2, func() { _ = l.SetReadDeadline(in(long)) })
			ends(t, "later", l, short/2+long)
		},
		"earlier, while it is waited": func(t *testing.T, l *lazyReader) {
			_ = l.SetReadDeadline(in(long))
			time.AfterFunc(short, func() { _ = l.SetReadDeadline(in(short)) })
			ends(t, "earlier", l, 2*short)
		},
		"one, where there was none": func(t *testing.T, l *lazyReader) {
			time.AfterFunc(short, func() { _ = l.SetReadDeadline(in(short)) })
			ends(t, "one", l, 2*short)
		},
		"at once": func(t *testing.T, l *lazyReader) {
			_ = l.SetReadDeadline(longAgo)
			ends(t, "at once", l, 0)
		},
		"at once, while it is waited": func(t *testing.T, l *lazyReader) {
			_ = l.SetReadDeadline(in(long))
			time.AfterFunc(short, func() { _ = l.SetReadDeadline(longAgo) })
			ends(t, "at once", l, short)
			_ = l.SetReadDeadline(in(short))
			ends(t, "after it", l, short)
		},
	} {
		t.Run(name, func(t *testing.T) {
			lazily(t, func(t *testing.T, l *lazyReader, _ *counting, _ net.Conn) { test(t, l) })
		})
	}
}

// TestNoDeadlineIsNone: what was set before ends nobody's waiting, once it was
// taken back.
func TestNoDeadlineIsNone(t *testing.T) {
	lazily(t, func(t *testing.T, l *lazyReader, _ *counting, other net.Conn) {
		_ = l.SetReadDeadline(in(time.Second))
		ends(t, "first", l, time.Second)
		_ = l.SetReadDeadline(longAgo)
		ends(t, "at once", l, 0)
		_ = l.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Hour, func() { _, _ = other.Write([]byte("x")) })
		if n, err := l.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// TestRequestsMoveNoDeadline does with a connection what net/http does for each
// request: for most of them nothing is set, and who sends no next one, or half
// of one, is cut off all the same.
func TestRequestsMoveNoDeadline(t *testing.T) {
	const idle, header, requests = time.Minute, 10 * time.Second, 1000
	lazily(t, func(t *testing.T, l *lazyReader, c *counting, other net.Conn) {
		b := make([]byte, 1)
		for range requests {
			_ = l.SetReadDeadline(in(idle))
			time.AfterFunc(time.Second, func() { _, _ = other.Write([]byte("x")) })
			if _, err := io.ReadFull(l, b); err != nil {
				t.Fatal(err)
			}
			_ = l.SetReadDeadline(in(header))
			_ = l.SetReadDeadline(time.Time{})
			_ = l.SetReadDeadline(longAgo) // who would notice that the client leaves is sent away
			if _, err := l.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			_ = l.SetReadDeadline(time.Time{})
		}
		if c.set > 2*requests/int(idle/time.Second) {
			t.Errorf("%d deadlines for %d requests, a second apart", c.set, requests)
		}
		_ = l.SetReadDeadline(in(idle))
		ends(t, "idle", l, idle)
		_ = l.SetReadDeadline(in(idle))
		_ = l.SetReadDeadline(in(header))
		ends(t, "half a head", l, header)
	})
}

// TestServedOnAndOn: a request on a connection that was waited on while another
// was answered is as good as the first.
func TestServedOnAndOn(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(raw, Connections{Total: 1, Place: 1})
	srv := &http.Server{IdleTimeout: time.Minute, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(5 * time.Millisecond) // somebody waits for the client to go meanwhile
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go srv.Serve(l)
	defer srv.Close()
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	for i := range 5 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Fatalf("request %d: its context had ended", i)
		}
	}
}
