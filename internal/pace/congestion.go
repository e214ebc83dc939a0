package pace

import (
	"net"

	"golang.org/x/sys/unix"
)

// overLoopback is how what is sent over loopback is kept from congesting it:
// hardly. Nothing is lost there and nothing waits; where a system's own choice
// is one that paces, as BBR, each megabyte costs timers for nothing. Every Linux
// has this one, and lets everybody choose it (tcp(7), TCP_CONGESTION).
const overLoopback = "reno"

// hasten readies a listener of this machine for itself alone, as one behind a
// reverse proxy is. Connections have it from their start: one that was paced
// before stays so. What cannot be set stays as it was, and is slower.
func hasten(l net.Listener) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return
	}
	if at, ok := tcp.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, overLoopback)
	})
}
