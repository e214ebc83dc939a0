package pace

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// How files get to clients. The kernel sends them by itself, in one call where
// the client keeps up. From copyFrom on they are copied, in pieces that stay in
// the processor's cache: over loopback, on two busy cores with Linux 6.18, that
// moved more bytes a second for no more processor time, and for small files it
// did not. With a network card it may be otherwise; measure before changing it.
const (
	copyFrom = 8 << 20
	mostCopy = 256 << 10
	mostSend = 1 << 30 // bytes of one call; it takes no more than fits an int32
)

var copyBuffers = sync.Pool{New: func() any { return new([mostCopy]byte) }}

// copy writes what src has, piece by piece; none is larger than what the client
// took within a moment before.
func (a *answer) copy(src *io.LimitedReader) (n int64, err error) {
	buf := copyBuffers.Get().(*[mostCopy]byte)
	defer copyBuffers.Put(buf)
	for src.N > 0 {
		m, err := io.ReadFull(src, buf[:min(a.chunk, mostCopy, src.N)])
		began := time.Now()
		_ = a.extend()
		k, failed := a.ResponseWriter.Write(buf[:m])
		if n += int64(k); failed != nil {
			return n, failed
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return n, nil // it is shorter than it should be: who asked for so much sees that
		}
		if err != nil {
			return n, err
		}
		a.adapt(time.Since(began))
	}
	return n, nil
}

// A delivery is a file on its way. It has more time whenever some of it moved.
type delivery struct {
	file   io.LimitedReader // of an *os.File
	extend func() error
}

// Read is for connections that are no plain ones of TCP.
func (d *delivery) Read(p []byte) (int, error) {
	_ = d.extend()
	return d.file.Read(p)
}

// ReadFrom has the kernel send a file.
func (c *tcpConn) ReadFrom(r io.Reader) (int64, error) {
	d, ok := r.(*delivery)
	if !ok {
		return c.TCPConn.ReadFrom(r)
	}
	n, err := c.send(d)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EOPNOTSUPP) {
		return n, err
	}
	m, err := io.Copy(writerOnly{c.TCPConn}, d) // the kernel does not send such files
	return n + m, err
}

// send calls sendfile until all of a file is sent.
func (c *tcpConn) send(d *delivery) (n int64, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	file := int(d.file.R.(*os.File).Fd())
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for moved := false; d.file.N > 0; {
			var m int
			m, failed = unix.Sendfile(int(fd), file, nil, int(min(d.file.N, mostSend)))
			switch {
			case failed == unix.EINTR:
			case failed == unix.EAGAIN:
				if moved {
					_ = d.extend()
				}
				return false
			case failed != nil || m == 0: // 0: the file is shorter than it should be
				return true
			default:
				moved = true
				n += int64(m)
				d.file.N -= int64(m)
			}
		}
		return true
	})
	if err == nil && failed != nil {
		err = &net.OpError{Op: "sendfile", Net: "tcp", Err: os.NewSyscallError("sendfile", failed)}
	}
	return n, err
}
