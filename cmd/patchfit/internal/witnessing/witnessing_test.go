package witnessing

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestOnePlaceDoesNotTakeAWitness: whoever opens connections without end leaves
// room for others.
func TestOnePlaceDoesNotTakeAWitness(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- answerUntil(ctx, l, http.NotFoundHandler()) }()
	ask := func(from string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: w\r\n\r\n")); err != nil {
			return nil, err
		}
		_, err = c.Read(make([]byte, 1))
		return c, err
	}
	for i := range connectionsPerPlace {
		if _, err := ask("127.0.0.1"); err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
	}
	if _, err := ask("127.0.0.1"); err == nil {
		t.Errorf("one place has more than %d connections", connectionsPerPlace)
	}
	if _, err := ask("127.0.0.2"); err != nil {
		t.Errorf("another place: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopping: %v", err)
	}
}
