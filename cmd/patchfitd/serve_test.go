package main

import (
	"bufio"
	"io"
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
