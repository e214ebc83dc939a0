package pace

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func listen(t *testing.T, c Connections) (net.Listener, chan net.Conn) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(raw, c)
	t.Cleanup(func() { l.Close() })
	accepted := make(chan net.Conn, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	return l, accepted
}

// dial connects from one of the many addresses of the loopback network.
func dial(t *testing.T, from string, l net.Listener) net.Conn {
	t.Helper()
	c, err := try(from, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func try(from string, l net.Listener) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	return d.Dial("tcp", l.Addr().String())
}

// refused waits until a connection from there is closed.
func refused(t *testing.T, from string, l net.Listener) {
	t.Helper()
	c, err := try(from, l)
	if err != nil {
		return // before we even knew it
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is open: %v", err)
	}
}

// TestOnePlaceDoesNotTakeAll: connections beyond a place's share are closed,
// those of other places are not, and one that ends makes room.
func TestOnePlaceDoesNotTakeAll(t *testing.T) {
	l, accepted := listen(t, Connections{Total: 100, Place: 3})
	var first net.Conn
	for range 3 {
		dial(t, "127.0.0.1", l)
		first = <-accepted
	}
	refused(t, "127.0.0.1", l)
	dial(t, "127.0.0.2", l)
	<-accepted
	first.Close()
	first.Close() // makes room once
	dial(t, "127.0.0.1", l)
	<-accepted
	refused(t, "127.0.0.1", l)
}

// TestTooManyInAllWait: whoever comes when there are all is accepted when one
// leaves; those a place has too many of take none of the room.
func TestTooManyInAllWait(t *testing.T) {
	l, accepted := listen(t, Connections{Total: 2, Place: 1})
	dial(t, "127.0.0.1", l)
	one := <-accepted
	for range 5 {
		refused(t, "127.0.0.1", l)
	}
	dial(t, "127.0.0.2", l)
	<-accepted
	dial(t, "127.0.0.3", l)
	select {
	case <-accepted:
		t.Fatal("a third of two connections")
	case <-time.After(50 * time.Millisecond):
	}
	one.Close()
	<-accepted
}

// TestCloseWakesAccept: also when all connections are taken.
func TestCloseWakesAccept(t *testing.T) {
	l, accepted := listen(t, Connections{Total: 1, Place: 1})
	dial(t, "127.0.0.1", l)
	<-accepted
	l.Close()
	if _, open := <-accepted; open {
		t.Error("accepted after Close")
	}
}

// TestKernelCanCopy: a connection is still one the kernel copies files to.
func TestKernelCanCopy(t *testing.T) {
	l, accepted := listen(t, Connections{Total: 1, Place: 1})
	dial(t, "127.0.0.1", l)
	if c := <-accepted; true {
		if _, ok := c.(io.ReaderFrom); !ok {
			t.Errorf("%T has no ReadFrom", c)
		}
	}
}
