package main

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/internal/serverconfig"
)

func testConfig(t *testing.T, listen string) *serverconfig.Config {
	t.Helper()
	return &serverconfig.Config{Listen: listen, Data: t.TempDir(), Origin: "test.patchfit.localhost"}
}

// TestPromptEndsStalledRequests: whoever sends one byte and nothing more, or
// takes no answer, loses the connection; the next request on a connection has
// a time of its own.
func TestPromptEndsStalledRequests(t *testing.T) {
	read := make(chan error, 1)
	stalled := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil { // prompt's, shortened
			t.Error(err)
		}
		_, err := io.ReadAll(r.Body)
		read <- err
	})
	srv := httptest.NewServer(prompt(stalled))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body that never came ends with %v, want a timeout", err)
	}
}

// deadlines is a response writer that notes what it is given.
type deadlines struct {
	http.ResponseWriter
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

func TestRequestsOutsideTheRegistryAreTimed(t *testing.T) {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	d := &deadlines{ResponseWriter: httptest.NewRecorder()}
	before := time.Now()
	prompt(nothing).ServeHTTP(d, httptest.NewRequest("GET", "/v1/x", nil))
	if left := d.read.Sub(before); left < askTimeout || left > askTimeout+time.Minute {
		t.Errorf("%v to send the request, want %v", left, askTimeout)
	}
	if left := d.write.Sub(before); left < answerTimeout || left > askTimeout+answerTimeout+time.Minute {
		t.Errorf("%v to take the answer, want %v", left, askTimeout+answerTimeout)
	}
	unhurried(nothing).ServeHTTP(d, httptest.NewRequest("GET", "/v2/x", nil))
	if !d.write.IsZero() {
		t.Error("a download inherits the time of the request before it")
	}
}

// TestConnectionsAreCounted: a client beyond the limit waits; it takes no file
// the journal needs.
func TestConnectionsAreCounted(t *testing.T) {
	if n := connections(); n < 1 || n > maxConnections {
		t.Errorf("%d connections, want 1 to %d", n, maxConnections)
	}
}

func TestPlainHTTPOnlyOnLoopback(t *testing.T) {
	h := &house{config: testConfig(t, "0.0.0.0:0")}
	if l, err := h.listen(); err == nil {
		l.Close()
		t.Error("plain HTTP on every address")
	} else if !strings.Contains(err.Error(), "no TLS") {
		t.Errorf("refused with %q", err)
	}
	h = &house{config: testConfig(t, "127.0.0.1:0")}
	l, err := h.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			io.WriteString(c, "hello\n")
			c.Close()
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" || err != nil {
		t.Errorf("read %q, %v", line, err)
	}
}

// TestBucketOutOfReach does not put on the disk what is meant for a bucket.
func TestBucketOutOfReach(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	c := testConfig(t, "127.0.0.1:0")
	c.Storage = serverconfig.Storage{Kind: serverconfig.Bucket, S3: serverconfig.S3{
		Endpoint: "http://" + l.Addr().String(), Region: "us-east-1", Bucket: "patches",
	}}
	h := &house{config: c, logger: slog.New(slog.DiscardHandler)}
	if b, err := h.blobs(t.Context()); b != nil || err == nil || !strings.Contains(err.Error(), "bucket") {
		t.Errorf("%v, %v", b, err)
	}
}
