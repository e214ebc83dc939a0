package pace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var limits = Limits{BodyStall: 30 * time.Second, BodyRate: 16 << 10, BodyWindow: 60 * time.Second, AnswerStall: 60 * time.Second}

// pipes is a listener whose connections are in memory, so that time is the
// test's own.
type pipes struct {
	conns chan net.Conn
	done  context.Context
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done.Done():
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// serve runs h behind Steady within a bubble, and returns a way to connect.
func serve(t *testing.T, h http.HandlerFunc) func() net.Conn {
	ctx, cancel := context.WithCancel(t.Context())
	p := &pipes{make(chan net.Conn), ctx}
	srv := &http.Server{Handler: Steady(h, limits), IdleTimeout: time.Minute}
	go srv.Serve(p)
	t.Cleanup(func() {
		cancel()
		srv.Close()
		time.Sleep(2 * time.Hour) // for everyone to notice
	})
	return func() net.Conn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close() })
		p.conns <- theirs
		return ours
	}
}

// A report is how reading a body went.
type report struct {
	n    int64
	err  error
	took time.Duration
}

func reading(to chan report) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		n, err := io.Copy(io.Discard, r.Body)
		to <- report{n, err, time.Since(began)}
		w.WriteHeader(http.StatusCreated)
	}
}

func head(length int) string {
	return fmt.Sprintf("PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
}

// drip sends size bytes, part of them every while, until it is cut off.
func drip(c net.Conn, size, part int, every time.Duration) {
	for size > 0 {
		n, err := c.Write(bytes.Repeat([]byte("x"), min(part, size)))
		if err != nil {
			return
		}
		size -= n
		time.Sleep(every)
	}
}

func TestBodies(t *testing.T) {
	for name, tc := range map[string]struct {
		part   int
		every  time.Duration
		err    error
		within time.Duration
	}{
		"fast":                          {1 << 20, time.Millisecond, nil, time.Second},
		"for an hour, fast enough":      {20 << 10, time.Second, nil, time.Hour},
		"in gusts":                      {1 << 20, 29 * time.Second, nil, time.Hour},
		"stalls":                        {1 << 10, time.Hour, os.ErrDeadlineExceeded, 31 * time.Second},
		"a byte a second":               {1, time.Second, ErrSlow, 61 * time.Second},
		"a byte just before each stall": {1, 29 * time.Second, ErrSlow, 61 * time.Second},
		"just too slowly":               {15 << 10, time.Second, ErrSlow, 62 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				size := 20 << 20
				if tc.err == nil && tc.part > 1 {
					size = min(size, tc.part*3000)
				}
				got := make(chan report, 1)
				c := serve(t, reading(got))()
				go func() {
					io.WriteString(c, head(size))
					drip(c, size, tc.part, tc.every)
				}()
				go io.Copy(io.Discard, c)
				r := <-got
				if tc.err == nil && (r.err != nil || r.n != int64(size)) || tc.err != nil && !errors.Is(r.err, tc.err) {
					t.Errorf("%d bytes and %v, want %v", r.n, r.err, tc.err)
				}
				if r.took > tc.within {
					t.Errorf("it took %v, want at most %v", r.took, tc.within)
				}
				c.Close()
			})
		})
	}
}

// TestOurOwnSlownessCountsForNobody: a handler that is busy between reads, as
// with a slow disk, reads the whole body.
func TestOurOwnSlownessCountsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan report, 1)
		c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			n := int64(0)
			for b := make([]byte, 1<<10); ; time.Sleep(10 * time.Second) {
				m, err := r.Body.Read(b)
				if n += int64(m); err != nil {
					got <- report{n: n, err: err}
					return
				}
			}
		})()
		go io.WriteString(c, head(100<<10)+strings.Repeat("x", 100<<10))
		go io.Copy(io.Discard, c)
		if r := <-got; r.n != 100<<10 || r.err != io.EOF {
			t.Errorf("%d bytes and %v", r.n, r.err)
		}
		c.Close()
	})
}

// TestUnwantedBodyHoldsNoConnection: whoever is refused before the body was
// read, and goes on sending it slowly, loses the connection.
func TestUnwantedBodyHoldsNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })()
		go func() {
			io.WriteString(c, head(1000))
			drip(c, 1000, 1, 10*time.Second)
		}()
		began := time.Now()
		io.Copy(io.Discard, c)
		if took := time.Since(began); took > limits.BodyStall+time.Second {
			t.Errorf("connected for %v", took)
		}
	})
}

// TestNextRequestHasItsOwnTime: what an earlier request on a connection left
// ends no later one, and a long upload ends with its answer.
func TestNextRequestHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan report, 1)
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			reading(got)(w, r)
			time.Sleep(2 * limits.AnswerStall) // busy, after the status was set
			if r.Context().Err() != nil {
				t.Error("the request was ended while nobody waited for the client")
			}
		})()
		answers := bufio.NewReader(c)
		for range 3 {
			io.WriteString(c, head(5)+"hello")
			<-got
			resp, err := http.ReadResponse(answers, nil)
			if err != nil || resp.StatusCode != http.StatusCreated {
				t.Fatalf("%v, %v", resp, err)
			}
			time.Sleep(50 * time.Second)
		}
		c.Close()
	})
}

// TestSlowReaders: who takes nothing more is cut off; who goes on taking a
// little is not, however long it takes.
func TestSlowReaders(t *testing.T) {
	const size = 8 << 20
	for name, tc := range map[string]struct {
		part  int
		every func(taken int) time.Duration
		whole bool
		write func(w http.ResponseWriter) error
	}{
		"stops":               {size / 2, always(time.Hour), false, inOne},
		"hour-long":           {64 << 10, always(50 * time.Second), true, inOne},
		"hour-long, copied":   {64 << 10, always(50 * time.Second), true, copied},
		"stops, copied":       {size / 2, always(time.Hour), false, copied},
		"fast":                {size, always(0), true, copied},
		"ever slower, copied": {64 << 10, everSlower, true, copied},
		"hour-long, read":     {64 << 10, always(50 * time.Second), true, readFrom},
		"stops, read":         {size / 2, always(time.Hour), false, readFrom},
		"ever slower, read":   {64 << 10, everSlower, true, readFrom},
		"hour-long, a file":   {64 << 10, always(50 * time.Second), true, aFile},
		"stops, a file":       {size / 2, always(time.Hour), false, aFile},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wrote := make(chan error, 1)
				c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", fmt.Sprint(size))
					wrote <- tc.write(w)
				})()
				go io.WriteString(c, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
				go func() {
					for taken := 0; ; time.Sleep(tc.every(taken)) {
						n, err := io.ReadFull(c, make([]byte, tc.part))
						if taken += n; err != nil {
							return
						}
					}
				}()
				began := time.Now()
				err := <-wrote
				if (err == nil) != tc.whole {
					t.Errorf("writing ended with %v after %v", err, time.Since(began))
				}
				if !tc.whole && time.Since(began) > limits.AnswerStall+time.Second {
					t.Errorf("cut off only after %v", time.Since(began))
				}
				c.Close()
			})
		})
	}
}

func always(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

// everSlower is fast for 4 MiB, slow for 2, and hardly moves from there on.
func everSlower(taken int) time.Duration {
	switch {
	case taken < 4<<20:
		return 0
	case taken < 6<<20:
		return 3 * time.Second
	}
	return 50 * time.Second
}

func inOne(w http.ResponseWriter) error {
	_, err := w.Write(make([]byte, 8<<20))
	return err
}

func copied(w http.ResponseWriter) error {
	_, err := io.CopyN(w, zeros{}, 8<<20)
	return err
}

// readFrom has the server's own writer copy what nobody said the length of.
func readFrom(w http.ResponseWriter) error {
	_, err := w.(io.ReaderFrom).ReadFrom(io.MultiReader(io.LimitReader(zeros{}, 8<<20)))
	return err
}

// aFile sends a file, to a connection that is none of TCP, in two parts: one
// would be copied.
func aFile(w http.ResponseWriter) error {
	f, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	defer f.Close()
	for range 2 {
		if _, err := io.CopyN(w, f, 4<<20); err != nil {
			return err
		}
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// countingDeadlines is a connection that notes what is asked of it.
type countingDeadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (c *countingDeadlines) SetReadDeadline(time.Time) error { return nil }

func (c *countingDeadlines) SetWriteDeadline(t time.Time) error {
	c.set = append(c.set, t)
	return nil
}

// TestConnectionRemembers: requests that follow each other at once on one
// connection share a deadline, unless something else was set in between.
func TestConnectionRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &countingDeadlines{ResponseWriter: httptest.NewRecorder()}
		h := Steady(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }), limits)
		ctx := Connection(t.Context(), nil)
		ask := func(body io.Reader, proto int) {
			r := httptest.NewRequestWithContext(ctx, http.MethodPut, "/", body)
			r.ProtoMajor = proto
			h.ServeHTTP(c, r)
		}
		for i, step := range []struct {
			do   func()
			want int // deadlines set
		}{
			{func() { ask(nil, 1) }, 1},
			{func() { ask(nil, 1) }, 0},
			{func() { time.Sleep(limits.AnswerStall); ask(nil, 1) }, 1},
			{func() { ask(strings.NewReader("x"), 1) }, 2}, // none while it comes in, then its answer's
			{func() { ask(nil, 1) }, 0},
			{func() { Forget(ctx); ask(nil, 1) }, 1},
			{func() { ask(nil, 2) }, 2}, // a stream has its own
		} {
			c.set = nil
			if step.do(); len(c.set) != step.want {
				t.Errorf("step %d: deadlines %v, want %d", i, c.set, step.want)
			}
		}
	})
}

// TestDeadlinesAreFew: an answer that is out at once takes one deadline, one
// that takes its time a new one with each piece; never one that has passed or
// leaves less than the client is promised.
func TestDeadlinesAreFew(t *testing.T) {
	for pause, want := range map[time.Duration]int{0: 1, limits.AnswerStall: 3} {
		synctest.Test(t, func(t *testing.T) {
			c := &countingDeadlines{ResponseWriter: httptest.NewRecorder()}
			Steady(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for range 2 {
					time.Sleep(pause)
					_, _ = w.Write([]byte("x"))
					if left := time.Until(c.set[len(c.set)-1]); left < limits.AnswerStall {
						t.Errorf("%v are left for what was written just now", left)
					}
				}
			}), limits).ServeHTTP(c, httptest.NewRequest(http.MethodGet, "/", nil))
			if len(c.set) != want {
				t.Errorf("after pauses of %v: deadlines %v, want %d", pause, c.set, want)
			}
		})
	}
}
