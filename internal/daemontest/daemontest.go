// Package daemontest runs servers of others beside tests: on loopback, for as
// long as the test program, and to be taken away and brought back.
package daemontest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A Daemon is a server's process. It ends with the thread that started it, as
// tests may die of a timeout: TestMain locks its own.
type Daemon struct {
	Command []string
	Env     []string // added to the test's own
	Addr    string
	Ready   func() error // nil when it answers
	Stderr  io.Writer

	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts it, and waits until it answers.
func (d *Daemon) Start() error {
	cmd := exec.Command(d.Command[0], d.Command[1:]...)
	cmd.Env = append(os.Environ(), d.Env...)
	cmd.Stderr = d.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	go func() { _ = cmd.Wait(); close(exited) }()
	if err := d.answers(); err != nil {
		d.Stop()
		return err
	}
	return nil
}

func (d *Daemon) answers() error {
	deadline := time.After(time.Minute)
	for {
		err := d.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-d.exited:
			return fmt.Errorf("%s ended", d.Command[0])
		case <-deadline:
			return fmt.Errorf("%s does not answer: %w", d.Command[0], err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop kills it.
func (d *Daemon) Stop() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// FreePort returns a loopback address that nobody listens on, just now.
func FreePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Bucket starts versitygw, an S3 server, of $PATCHFIT_BIN or of bin/, with its
// buckets in the directory root.
func Bucket(root, access, secret string) (*Daemon, error) {
	bin := os.Getenv("PATCHFIT_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	bin = filepath.Join(bin, "versitygw")
	if _, err := os.Stat(bin); err != nil {
		return nil, errors.New("versitygw is not built: run make bin/versitygw")
	}
	var failed error
	for range 5 { // the free port may be taken meanwhile
		addr, err := FreePort()
		if err != nil {
			return nil, err
		}
		d := &Daemon{
			Command: []string{bin, "--port", addr, "--quiet", "posix", root}, Addr: addr,
			Env:   []string{"ROOT_ACCESS_KEY=" + access, "ROOT_SECRET_KEY=" + secret},
			Ready: func() error { return get("http://" + addr) }, Stderr: os.Stderr,
		}
		if failed = d.Start(); failed == nil {
			return d, nil
		}
	}
	return nil, failed
}

func get(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
