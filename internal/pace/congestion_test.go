package pace

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLoopbackIsNotPaced: a connection of this machine with itself has the
// congestion control for it.
func TestLoopbackIsNotPaced(t *testing.T) {
	l, accepted := listen(t, Connections{Total: 1, Place: 1})
	dial(t, "127.0.0.1", l)
	raw, err := (<-accepted).(*tcpConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got string
	var failed error
	err = raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) })
	if got = strings.TrimRight(got, "\x00"); err != nil || failed != nil || got != overLoopback {
		t.Errorf("%q, %v, %v, want %s", got, err, failed, overLoopback)
	}
}

// TestEveryWayToRead ends with the deadline, by which method it was set and by
// which it is read.
func TestEveryWayToRead(t *testing.T) {
	l, accepted := listen(t, Connections{Total: 1, Place: 1})
	dial(t, "127.0.0.1", l)
	c := <-accepted
	for name, set := range map[string]func(time.Time) error{"read": c.SetReadDeadline, "both": c.SetDeadline} {
		for way, read := range map[string]func() error{
			"Read":    func() error { _, err := c.Read(make([]byte, 1)); return err },
			"WriteTo": func() error { _, err := c.(io.WriterTo).WriteTo(io.Discard); return err },
		} {
			if err := set(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, %s: %v", name, way, err)
			}
			if err := set(longAgo); err != nil {
				t.Fatal(err)
			}
			if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, %s, long ago: %v", name, way, err)
			}
		}
	}
	var _ net.Conn = c
}
