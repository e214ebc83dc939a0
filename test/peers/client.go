package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"syscall"
	"time"
)

// A client is one connection that is kept alive. It does no more for an answer
// than it has to, so that on a machine of two cores the servers get the rest.
type client struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
	scratch []byte
	unread  bool // bodies are dropped in the kernel and never copied here
}

const (
	headBuffer = 16 << 10
	bodyBuffer = 256 << 10
	maxSaid    = 400 // of an answer nobody wanted, in bytes
)

// dial connects to address, with TLS where there is a secure; nothing it does
// may take longer than patience.
func dial(address string, secure *tls.Config, patience time.Duration) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	return &client{
		address: address, conn: conn,
		in: bufio.NewReaderSize(conn, headBuffer), scratch: make([]byte, bodyBuffer),
	}, nil
}

func (c *client) close() error { return c.conn.Close() }

// An answer is what a load needs to know of one.
type answer struct {
	status   int
	size     int64 // of the body as it came
	location string
	said     string // the beginning of the body, of an answer from 400 up
}

// do sends a request, made of parts that go out together, and takes its answer.
func (c *client) do(method string, parts ...[]byte) (answer, error) {
	out := net.Buffers(parts)
	if _, err := out.WriteTo(c.conn); err != nil {
		return answer{}, fmt.Errorf("sending: %w", err)
	}
	a, err := c.take(method)
	if err != nil {
		return a, fmt.Errorf("taking the answer: %w", err)
	}
	return a, nil
}

func (c *client) take(method string) (answer, error) {
	for {
		a, length, chunked, err := c.head()
		switch {
		case err != nil:
			return a, err
		case a.status < 200: // 100 Continue
		case method == http.MethodHead, a.status == http.StatusNoContent, a.status == http.StatusNotModified:
			return a, nil
		default:
			return a, c.body(&a, length, chunked)
		}
	}
}

// head reads status line and headers.
func (c *client) head() (a answer, length int64, chunked bool, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return a, 0, false, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return a, 0, false, fmt.Errorf("%.80q is no status line", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, 0, false, fmt.Errorf("%.80q is no status line", line)
	}
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return a, 0, false, err
		}
		name, value, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case !ok:
			return a, length, chunked, nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return a, 0, false, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Location")):
			a.location = string(value)
		}
	}
}

func (c *client) body(a *answer, length int64, chunked bool) error {
	if a.status >= http.StatusBadRequest {
		return c.complaint(a, length, chunked)
	}
	if chunked {
		n, err := io.CopyBuffer(io.Discard, onlyRead{httputil.NewChunkedReader(c.in)}, c.scratch)
		a.size = n
		if err != nil {
			return err
		}
		_, err = c.in.ReadSlice('\n') // the empty line after the last chunk
		return err
	}
	a.size = length
	n, err := c.in.Discard(int(min(length, int64(c.in.Buffered()))))
	for left := length - int64(n); err == nil && left > 0; left -= int64(n) {
		n, err = c.read(c.scratch[:min(left, int64(len(c.scratch)))])
	}
	return err
}

type onlyRead struct{ io.Reader }

// read takes bytes of a body from the connection.
func (c *client) read(b []byte) (int, error) {
	plain, ok := c.conn.(*net.TCPConn)
	if !ok || !c.unread {
		return c.conn.Read(b)
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		return 0, err
	}
	n, failed := 0, error(nil)
	err = raw.Read(func(fd uintptr) bool { // tcp(7): MSG_TRUNC drops what it would have copied
		n, _, failed = syscall.Recvfrom(int(fd), b, syscall.MSG_TRUNC)
		return failed != syscall.EAGAIN
	})
	if err = errors.Join(err, failed); err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// complaint keeps what an answer says that nobody wanted.
func (c *client) complaint(a *answer, length int64, chunked bool) error {
	var r io.Reader = io.LimitReader(c.in, length)
	if chunked {
		r = httputil.NewChunkedReader(c.in)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxSaid))
	a.said = string(bytes.TrimSpace(b))
	return err
}

// expect turns an answer other than the wanted one into an error.
func (a answer) expect(status int) error {
	if a.status == status {
		return nil
	}
	return fmt.Errorf("status %d, want %d: %s", a.status, status, a.said)
}

// head returns the head of a request.
func requestHead(method, path, address string, header http.Header, length int64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, address)
	if length >= 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	}
	_ = header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}
