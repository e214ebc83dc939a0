package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const slowOnes = 200 // of each kind

const patient = `registry:
  limits: {uploads: 300, ownUploads: 250}
limits:
  publisher: {perSecond: 100000, burst: 100000}
  token: {perSecond: 100000, burst: 100000}
  headerTime: 8s
  bodyStall: 8s
  bodyWindow: 8s
`

// TestFrontSlowClients: 200 connections send the header of a request a byte at a
// time, and 200 the body of an upload they may do, while one robot pushes and
// pulls. Every request of that one is answered as ever, from when all of the
// others are connected until the server has closed the last; their uploads are
// where they were.
func TestFrontSlowClients(t *testing.T) {
	k := newKept(newDepot(t, t.TempDir()+"/data", patient, robotA, robotB))
	var uploads []string
	for range slowOnes {
		r := k.ask(robotB, http.MethodPost, "/v2/"+depots[0]+"/blobs/uploads/", "", nil)
		if r.status != http.StatusAccepted {
			t.Fatalf("%v", r)
		}
		uploads = append(uploads, r.location)
	}
	token, err := k.token(robotB)
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{t: t, to: strings.TrimPrefix(k.url, "http://")}
	for n := range 2 * slowOnes {
		begin := "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "
		if n < slowOnes {
			begin = "PATCH " + uploads[n] + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
		}
		s.connect(n, begin)
	}
	if open := s.open.Load(); open != 2*slowOnes {
		t.Fatalf("%d slow connections are open, want %d", open, 2*slowOnes)
	}
	all, beside := k.healthy(s)
	s.connections.Wait()
	if beside == 0 || t.Failed() {
		t.Errorf("%d pushes and pulls, %d of them while all %d slow connections were open", all, beside, 2*slowOnes)
	}
	for _, at := range uploads {
		if r := k.ask(robotB, http.MethodGet, at, "", nil); r.status != http.StatusNoContent {
			t.Errorf("an upload that came too slowly: %v, want 204", r)
		}
	}
	k.audit("in the end", -1)
	t.Logf("%d pushes and pulls succeeded, %d of them while all %d slow connections were open", all, beside, 2*slowOnes)
}

// healthy pushes and pulls until no slow connection is left, and returns how
// often, and how often while all of them were open.
func (k *kept) healthy(s *slow) (all, beside int) {
	for ; s.open.Load() > 0 && all < 5000; all++ {
		i := newImage(depots[all%2], fmt.Sprint("healthy ", all), fmt.Append(nil, "layer ", all))
		before := s.open.Load() == 2*slowOnes
		if r := k.pushAll(i); r.status != http.StatusCreated {
			k.t.Errorf("healthy push %d: %v", all, r)
			return all, beside
		}
		k.look(fmt.Sprint("healthy pull ", all), i)
		if before && s.open.Load() == 2*slowOnes {
			beside++
		}
	}
	return all, beside
}

// slow are connections that send a byte at a time.
type slow struct {
	t           *testing.T
	to          string
	open        atomic.Int64
	connections sync.WaitGroup
}

// connect opens one, from one of eight addresses, and sends without end until
// the server closes it.
func (s *slow) connect(n int, begin string) {
	s.t.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(10+n%8))}, Timeout: 10 * time.Second}
	c, err := from.Dial("tcp", s.to)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, begin); err != nil {
		s.t.Fatal(err)
	}
	s.open.Add(1)
	s.connections.Go(func() {
		for range 600 { // a minute at most
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	s.connections.Go(func() {
		defer s.open.Add(-1)
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			s.t.Errorf("a slow connection is open after a minute: %.30q", begin)
		}
		if err == nil && (resp.StatusCode < 400 || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusTooManyRequests) {
			s.t.Errorf("a slow connection is answered %s: %.30q", resp.Status, begin)
		}
	})
}
