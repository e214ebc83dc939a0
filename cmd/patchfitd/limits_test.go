package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/state"
)

// short are limits a test can wait for.
var short = serverconfig.Limits{
	HeaderTime: serverconfig.Duration(300 * time.Millisecond), BodyStall: serverconfig.Duration(300 * time.Millisecond),
	BodyWindow: serverconfig.Duration(600 * time.Millisecond), AnswerStall: serverconfig.Duration(500 * time.Millisecond),
	RequestTime: serverconfig.Duration(300 * time.Millisecond), AnswerTime: serverconfig.Duration(500 * time.Millisecond),
	AuditTime: serverconfig.Duration(400 * time.Millisecond),
}

// serving runs a whole server with limits, and returns its address.
func serving(t *testing.T, c serverconfig.Limits) string {
	t.Helper()
	h, err := openHouse(t.Context(), newData(t, ""), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	h.config.Limits = c
	l, err := h.listen()
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(h.path(indexFile))
	if err != nil {
		t.Fatal(err)
	}
	handler, err := h.doors(x, serverconfig.BaseURL(h.config, l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.run(ctx, l, handler) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, x.Close(), h.close()); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// from connects from an address of the loopback network.
func from(ip, to string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 5 * time.Second}
	return d.Dial("tcp", to)
}

// over waits until the server has closed c.
func over(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection is open still")
	}
	return nil
}

// TestSlowClientsHarmNobody: 200 clients send headers and bodies a byte at a
// time, from four addresses, while one client is answered as ever; in the end
// the server has closed every one of them.
func TestSlowClientsHarmNobody(t *testing.T) {
	addr := serving(t, short)
	starts := []string{
		"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"POST /v2/lib/greet/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
		"POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n",
		"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
	}
	var slow sync.WaitGroup
	for i := range 200 {
		c, err := from(fmt.Sprintf("127.0.0.%d", 10+i%4), addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		slow.Go(func() {
			if _, err := io.WriteString(c, starts[i/4%len(starts)]); err != nil {
				return
			}
			go func() {
				for range 200 { // ten seconds at most
					if _, err := io.WriteString(c, "x"); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}()
			if err := over(c); err != nil {
				t.Errorf("%.20q: %v", starts[i/4%len(starts)], err)
			}
		})
	}
	ended := make(chan struct{})
	go func() { slow.Wait(); close(ended) }()
	healthy(t, addr, ended)
}

// healthy asks over and over until ended, and wants an answer each time.
func healthy(t *testing.T, addr string, ended <-chan struct{}) {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for n := 0; ; n++ {
		resp, err := client.Get("http://" + addr + "/readyz")
		if err != nil {
			t.Fatalf("the %dth healthy request: %v", n+1, err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("the %dth healthy request: %s", n+1, resp.Status)
		}
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestConnectionsOfOneAddress: the 65th from one address is closed; another
// address is let in.
func TestConnectionsOfOneAddress(t *testing.T) {
	addr := serving(t, serverconfig.Limits{})
	answered := func(ip string) bool {
		c, err := from(ip, addr)
		if err != nil {
			return false
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return false
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && resp.StatusCode == http.StatusOK
	}
	for i := range 64 {
		if !answered("127.0.0.1") {
			t.Fatalf("connection %d is refused", i+1)
		}
	}
	if answered("127.0.0.1") {
		t.Error("a 65th connection of one address")
	}
	if !answered("127.0.0.2") {
		t.Error("one address keeps another out")
	}
}

// TestTokenIsPaced: beyond the burst an address waits, whoever it says it is.
func TestTokenIsPaced(t *testing.T) {
	addr := serving(t, serverconfig.Limits{})
	ask := func() *http.Response {
		resp, err := http.Get("http://" + addr + "/token")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp
	}
	var last *http.Response
	n := 0
	for ; n < 300; n++ {
		if last = ask(); last.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	if n < 100 || n > 130 { // 100, and 5 for each second it took
		t.Errorf("429 after %d requests, want 100", n)
	}
	if last.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q, want 1", last.Header.Get("Retry-After"))
	}
}

// TestCallersAreHeldToTheirPace: each kind has its own share of what it does.
func TestCallersAreHeldToTheirPace(t *testing.T) {
	few := serverconfig.Rate{PerSecond: 1, Burst: 2}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who, err := auth.New(auth.Config{URL: "http://127.0.0.1:1", Signer: signer, Pepper: make([]byte, 32)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	host, robot := state.Principal{ID: "h", Kind: state.KindHost}, state.Principal{ID: "r", Kind: state.KindToken}
	for name, tc := range map[string]struct {
		p      state.Principal
		method string
		audit  bool
		held   bool
	}{
		"a host reads":       {host, http.MethodGet, false, true},
		"a host asks":        {host, http.MethodHead, false, true},
		"a robot pushes":     {robot, http.MethodPut, false, true},
		"a robot begins":     {robot, http.MethodPost, false, true},
		"a robot deletes":    {robot, http.MethodDelete, false, true},
		"a robot reads":      {robot, http.MethodGet, false, false},
		"a robot looks":      {robot, http.MethodHead, false, false},
		"an auditor queries": {robot, http.MethodGet, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimits(serverconfig.Limits{Host: few, Publisher: few, Auditor: few}, who, meter.New(meter.Config{}))
			handler := l.known(nothing)
			if tc.audit {
				handler = l.queries(nothing)
			}
			ask := func(p state.Principal) int {
				r := httptest.NewRequest(tc.method, "/v1/x", nil)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
				return w.Code
			}
			for range 2 {
				if got := ask(tc.p); got != http.StatusOK {
					t.Fatalf("within the burst: %d", got)
				}
			}
			if got := ask(tc.p); (got == http.StatusTooManyRequests) != tc.held {
				t.Errorf("beyond it: %d", got)
			}
			other := tc.p
			other.ID = "another"
			if got := ask(other); got != http.StatusOK {
				t.Errorf("another pays for it: %d", got)
			}
		})
	}
}

// TestQueryHasATime: what takes longer is broken off, through its context.
func TestQueryHasATime(t *testing.T) {
	l := newLimits(short, nil, nil)
	var left time.Duration
	h := l.queries(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		end, _ := r.Context().Deadline()
		left = time.Until(end)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/audit/x", nil))
	if left <= 0 || left > time.Duration(short.AuditTime) {
		t.Errorf("%v for a query, want %v", left, time.Duration(short.AuditTime))
	}
}

// TestPageIsBounded: no configuration asks the index for more than it gives.
func TestPageIsBounded(t *testing.T) {
	for page, want := range map[serverconfig.Count]int{0: 500, 7: 7, 1_000_000: index.MaxLimit} {
		if got := newLimits(serverconfig.Limits{AuditPage: page}, nil, nil).auditPage(); got != want {
			t.Errorf("auditPage %d: %d rows, want %d", page, got, want)
		}
	}
}

// TestConnectionsLeaveFilesForTheJournal: however many are wanted.
func TestConnectionsLeaveFilesForTheJournal(t *testing.T) {
	if n := connections(1 << 40); n < 1 || n == 1<<40 {
		t.Errorf("%d connections of any number wanted", n)
	}
	if n := connections(3); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// TestServerLimits: header size and streams, as configured.
func TestServerLimits(t *testing.T) {
	addr := serving(t, serverconfig.Limits{HeaderBytes: 4 << 10})
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 12<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 12 KiB: %s", resp.Status)
	}
	if got := newServer(nil, serverconfig.Limits{}).HTTP2.MaxConcurrentStreams; got != 100 {
		t.Errorf("%d streams, want 100", got)
	}
}

// TestHTTP2IsTimedToo: deadlines, headers and bodies work as with HTTP/1.
func TestHTTP2IsTimedToo(t *testing.T) {
	l := newLimits(short, nil, nil)
	got := make(chan error, 1)
	srv := httptest.NewUnstartedServer(l.steady(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		got <- err
	})))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	transport := srv.Client().Transport.(*http.Transport)
	transport.TLSClientConfig = transport.TLSClientConfig.Clone()
	transport.TLSClientConfig.MinVersion = tls.VersionTLS12
	body, end := io.Pipe()
	defer end.Close()
	go io.WriteString(end, "x") // and never more
	req, err := http.NewRequest(http.MethodPut, srv.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if resp, err := srv.Client().Do(req); err == nil {
			if resp.ProtoMajor != 2 {
				t.Errorf("%s", resp.Proto)
			}
			resp.Body.Close()
		}
	}()
	select {
	case err := <-got:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the body that never came ends with %v, want a timeout", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the body that never came is waited for")
	}
}
