package pace

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A lazyReader is the reading side of a connection. Whoever serves HTTP moves
// the deadline of a connection six times a request, and hardly ever is anybody
// waiting then: so a deadline is only remembered, until somebody waits for
// longer than it says. What the connection itself has may be an earlier one:
// who is woken by that goes on waiting.
type lazyReader struct {
	conn  net.Conn
	began time.Time // what is before this is over, whatever the time is

	mu      sync.Mutex
	wanted  time.Time // zero: none
	set     time.Time // what conn has; zero: none
	waiting int       // who reads now: for them, set is not after wanted
}

// SetReadDeadline implements [net.Conn].
func (l *lazyReader) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted = t
	if l.waiting == 0 || !after(l.set, t) {
		return nil
	}
	return l.apply()
}

// Read implements [net.Conn].
func (l *lazyReader) Read(p []byte) (int, error) {
	if err := l.begin(); err != nil {
		return 0, err
	}
	defer l.end()
	for {
		n, err := l.conn.Read(p)
		if err == nil || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		over, failed := l.again()
		if failed != nil {
			return n, failed
		}
		if over {
			return n, err // as it came: net/http asks what kind of error it is
		}
	}
}

// begin sees that nobody waits for longer than they are to.
func (l *lazyReader) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isPast(l.wanted) {
		return os.ErrDeadlineExceeded
	}
	if l.isPast(l.set) || after(l.set, l.wanted) {
		if err := l.apply(); err != nil {
			return err
		}
	}
	l.waiting++
	return nil
}

func (l *lazyReader) end() {
	l.mu.Lock()
	l.waiting--
	l.mu.Unlock()
}

// again is for who was woken: it is over, or there is time left by now.
func (l *lazyReader) again() (over bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.wanted.IsZero() && !time.Now().Before(l.wanted) {
		return true, nil
	}
	return false, l.apply()
}

// apply sets what is wanted. mu is held.
func (l *lazyReader) apply() error {
	if err := l.conn.SetReadDeadline(l.wanted); err != nil {
		return err
	}
	l.set = l.wanted
	return nil
}

func (l *lazyReader) isPast(t time.Time) bool { return !t.IsZero() && t.Before(l.began) }

// after reports whether one deadline is after another; none is after all.
func after(t, u time.Time) bool {
	return !u.IsZero() && (t.IsZero() || t.After(u))
}
