package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A server is a process on a loopback port that can be stopped and started
// again on the same data.
type server struct {
	name    string
	address string
	log     string // file for what it prints
	program string
	args    []string
	env     []string
	secure  *tls.Config                                            // how clients speak TLS with it; nil: they do not
	secured func(k keyPair) (*server, error)                       // the same, with TLS
	token   func(ctx context.Context, role string) (string, error) // nil: it asks nobody who they are

	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

const startTime = 5 * time.Minute // a journal of many records takes a while, the more so beside others

// start starts the server and waits until it answers.
func (s *server) start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(s.program, s.args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it does not outlive us
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	s.cmd, s.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}(s.done)
	if err := s.await(ctx); err != nil {
		s.stop()
		return fmt.Errorf("starting %s: %w\n%s", s.name, err, s.lastWords())
	}
	return nil
}

func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: s.secure, DisableKeepAlives: true}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("/v2/"), nil)
		if err != nil {
			return err
		}
		if resp, err := transport.RoundTrip(req); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-s.done:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *server) url(path string) string {
	if s.secure != nil {
		return "https://" + s.address + path
	}
	return "http://" + s.address + path
}

func (s *server) lastWords() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// stop ends the server, politely first.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// headers are those of a request on behalf of a role.
func (s *server) headers(ctx context.Context, role string) (http.Header, error) {
	h := http.Header{}
	if s.token == nil {
		return h, nil
	}
	token, err := s.token(ctx, role)
	if err != nil {
		return nil, err
	}
	h.Set("Authorization", "Bearer "+token)
	return h, nil
}

// freeAddress returns a loopback address nobody listens on. It has to be known
// before its server starts: clients of ours sign it.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
