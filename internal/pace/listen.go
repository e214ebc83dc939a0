package pace

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// complainEvery is how often at most it is logged that a place has too many
// connections.
const complainEvery = time.Minute

// Connections are how many there may be.
type Connections struct {
	Total   int // more wait to be accepted
	Place   int // more are closed at once
	Logger  *slog.Logger
	Proxies Proxies // are many clients each: Place is not for them
	Refused func()  // is called for each that is closed at once; nil: nobody asks
	counted map[Place]int
}

// Listen accepts from l no more than c at once. Connections are l's own TCP
// connections, so that the kernel can copy files to them.
func Listen(l net.Listener, c Connections) net.Listener {
	hasten(l)
	c.counted = make(map[Place]int)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &listener{Listener: l, Connections: c, slots: make(chan struct{}, c.Total), closed: make(chan struct{})}
}

type listener struct {
	net.Listener
	Connections
	slots  chan struct{}
	closed chan struct{}
	close  sync.Once

	mu         sync.Mutex // of counted and complained
	complained time.Time
}

// Accept waits until there is a connection, and room for it.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		if counted := l.count(c); counted != nil {
			return counted, nil
		}
	}
}

// Close stops accepting.
func (l *listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// count returns c as one of its place's, or closes it and returns nil.
func (l *listener) count(c net.Conn) net.Conn {
	place := PlaceOf(c.RemoteAddr().String())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counted[place] >= l.Place && !l.proxy(c) {
		l.refuse(c, place)
		return nil
	}
	l.counted[place]++
	leave := sync.OnceFunc(func() { l.leave(place) })
	if tcp, ok := c.(*net.TCPConn); ok {
		return newTCPConn(tcp, leave)
	}
	return &conn{c, leave}
}

func (l *listener) proxy(c net.Conn) bool {
	a, err := netip.ParseAddrPort(c.RemoteAddr().String())
	return err == nil && l.Proxies.Trusts(a.Addr())
}

func (l *listener) refuse(c net.Conn, place Place) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // nothing of it stays in the kernel
	}
	_ = c.Close()
	if l.Refused != nil {
		l.Refused()
	}
	if time.Since(l.complained) >= complainEvery {
		l.complained = time.Now()
		l.Logger.Warn("too many connections from one place: further ones are closed", "place", place.String(), "limit", l.Place)
	}
}

func (l *listener) leave(place Place) {
	<-l.slots
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counted[place]--; l.counted[place] == 0 {
		delete(l.counted, place)
	}
}

// tcpConn has every method of a TCP connection, ReadFrom among them.
type tcpConn struct {
	*net.TCPConn
	in    lazyReader
	leave func()
}

func newTCPConn(c *net.TCPConn, leave func()) *tcpConn {
	return &tcpConn{TCPConn: c, in: lazyReader{conn: c, began: time.Now()}, leave: leave}
}

func (c *tcpConn) Read(p []byte) (int, error) { return c.in.Read(p) }

// WriteTo reads as Read does.
func (c *tcpConn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, readerOnly{c}) }

func (c *tcpConn) SetReadDeadline(t time.Time) error { return c.in.SetReadDeadline(t) }

func (c *tcpConn) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// readerOnly hides WriteTo.
type readerOnly struct{ io.Reader }

func (c *tcpConn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
