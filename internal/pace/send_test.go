package pace

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// aBlob is a file of so many bytes, none like its neighbours.
func aBlob(t *testing.T, size int) (name string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	name = filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, content
}

// TestFilesAreServedWhole goes through real connections and http.ServeContent:
// ranges too, of files on both sides of what is copied, to connections of ours,
// which a kernel sends files to, to plain ones and to encrypted ones.
func TestFilesAreServedWhole(t *testing.T) {
	name, want := aBlob(t, copyFrom+5<<20+123)
	h := Steady(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
	}), limits)
	for how, start := range map[string]func(*httptest.Server){
		"ours":      func(s *httptest.Server) { s.Listener = Listen(s.Listener, Connections{Total: 9, Place: 9}); s.Start() },
		"plain":     (*httptest.Server).Start,
		"encrypted": (*httptest.Server).StartTLS,
	} {
		srv := httptest.NewUnstartedServer(h)
		start(srv)
		defer srv.Close()
		for header, part := range map[string][]byte{
			"": want, "bytes=100-": want[100:], "bytes=4194304-5000000": want[4194304:5000001], "bytes=5-5": want[5:6],
			fmt.Sprintf("bytes=3-%d", copyFrom+1): want[3 : copyFrom+2], fmt.Sprintf("bytes=3-%d", copyFrom+2): want[3 : copyFrom+3],
		} {
			req, err := http.NewRequest(http.MethodGet, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			if header != "" {
				req.Header.Set("Range", header)
			}
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, part) {
				t.Errorf("%s, %q: %d bytes of %d, %v", how, header, len(got), len(part), err)
			}
		}
	}
}

// pair is a connection of ours and its client.
func pair(t *testing.T) (*tcpConn, net.Conn) {
	t.Helper()
	l, accepted := listen(t, Connections{Total: 1, Place: 1})
	client := dial(t, "127.0.0.1", l)
	c, ok := (<-accepted).(*tcpConn)
	if !ok {
		t.Fatal("it is no connection of TCP")
	}
	return c, client
}

// TestKernelSends: nothing of a file is read here, and a client that takes it
// bit by bit has more time with each bit.
func TestKernelSends(t *testing.T) {
	name, want := aBlob(t, copyFrom-1)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, client := pair(t)
	got := make(chan []byte, 1)
	take := sync.OnceFunc(func() { // once what connections hold is full
		go func() {
			b, _ := io.ReadAll(client) // what is missing is seen below
			got <- b
		}()
	})
	extended := 0
	d := &delivery{file: io.LimitedReader{R: f, N: int64(len(want)) + 10}, extend: func() error { extended++; take(); return nil }}
	n, err := c.send(d)
	if err != nil || n != int64(len(want)) || d.file.N != 10 {
		t.Errorf("%d of %d bytes, %d are left, %v", n, len(want), d.file.N, err)
	}
	c.Close()
	take()
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("the client got %d bytes", len(b))
	}
	if extended == 0 {
		t.Error("the client never had more time")
	}
}

// TestKernelSendsToNobody: a client that takes nothing is given up when its
// time is over, and one that went away at once.
func TestKernelSendsToNobody(t *testing.T) {
	name, _ := aBlob(t, copyFrom)
	for how, leave := range map[string]func(server *tcpConn, client net.Conn){
		"takes nothing": func(c *tcpConn, _ net.Conn) { c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)) },
		"is gone":       func(_ *tcpConn, client net.Conn) { client.(*net.TCPConn).SetLinger(0); client.Close() },
	} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		c, client := pair(t)
		leave(c, client)
		d := &delivery{file: io.LimitedReader{R: io.Reader(f), N: copyFrom}, extend: func() error { return nil }}
		for err == nil && d.file.N > 0 {
			if _, err = c.ReadFrom(d); err == nil {
				f.Seek(0, io.SeekStart)
				d.file.N = copyFrom
			}
		}
		if err == nil {
			t.Errorf("a client that %s was sent everything", how)
		}
		c.Close()
	}
}

// TestFilesNoKernelSends are copied.
func TestFilesNoKernelSends(t *testing.T) {
	r, w, err := os.Pipe() // sendfile(2) takes none
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		io.WriteString(w, "hello")
		w.Close()
	}()
	c, client := pair(t)
	n, err := c.ReadFrom(&delivery{file: io.LimitedReader{R: r, N: 9}, extend: func() error { return nil }})
	c.Close()
	if b, _ := io.ReadAll(client); err != nil || n != 5 || string(b) != "hello" {
		t.Errorf("%d bytes, %v; the client got %q", n, err, b)
	}
}
