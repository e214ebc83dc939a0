package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/internal/serverconfig"
)

func testConfig(t *testing.T, listen string) *serverconfig.Config {
	t.Helper()
	return &serverconfig.Config{Listen: listen, Data: t.TempDir(), Origin: "test.patchfit.localhost"}
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
