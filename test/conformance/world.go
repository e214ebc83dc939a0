package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The repositories the suite pushes to, each a product's.
const repo1, repo2 = "conformance/repo1", "conformance/repo2"

// A world is a fresh state directory and the server that runs on it.
type world struct {
	ctx    context.Context
	bin    string
	dir    string
	url    string
	server *exec.Cmd
	ended  chan struct{}
}

// newWorld makes a server that has a trust policy and serves the suite's two
// repositories.
func newWorld(ctx context.Context, bin string) (*world, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"patchfit", "patchfitd", "patchfit-agent", "docker-credential-patchfit", "oras", "oci-conformance"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return nil, fmt.Errorf("%s is not built: run make conformance", name)
		}
	}
	dir, err := os.MkdirTemp("", "patchfit-conformance-")
	if err != nil {
		return nil, err
	}
	w := &world{ctx: ctx, bin: bin, dir: dir}
	if err := w.script("init"); err != nil {
		w.close()
		return nil, err
	}
	if err := w.start(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// close ends the server and forgets everything.
func (w *world) close() {
	if w.server != nil {
		_ = w.server.Process.Signal(syscall.SIGTERM)
		select {
		case <-w.ended:
		case <-time.After(20 * time.Second):
			_ = w.server.Process.Kill()
			<-w.ended
		}
	}
	_ = os.RemoveAll(w.dir)
}

// start starts the server and waits for its first line, which has its address.
func (w *world) start() error {
	log, err := os.Create(filepath.Join(w.dir, "patchfitd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := w.command("patchfitd", "serve", "--config", "pf/patchfitd.yaml")
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.server, w.ended = cmd, make(chan struct{})
	lines := bufio.NewReader(stdout)
	line, _ := lines.ReadString('\n')
	go func() {
		defer close(w.ended)
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait()
	}()
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("patchfitd did not start: %q\n%s", line, text)
	}
	w.url = url
	return nil
}

// command is one of our programs, or any other, in the state directory. What
// the caller's environment says about clients and the suite does not count.
func (w *world) command(name string, args ...string) *exec.Cmd {
	path := filepath.Join(w.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = name
	}
	cmd := exec.CommandContext(w.ctx, path, args...)
	cmd.Dir = w.dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OCI_") && !strings.HasPrefix(v, "PATCHFIT_") && !strings.HasPrefix(v, "DOCKER_CONFIG=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+w.bin+":"+os.Getenv("PATH"), "HOME="+w.dir,
		"URL="+w.url, "REGISTRY="+w.registry())
	return cmd
}

// registry is the server's host and port.
func (w *world) registry() string {
	_, address, _ := strings.Cut(w.url, "://")
	return address
}

func (w *world) scripts(names []string) error {
	for _, name := range names {
		if err := w.script(name); err != nil {
			return err
		}
	}
	return nil
}

// script runs one of testdata's scripts; those of the end-to-end tests are at
// $PRELUDE.
func (w *world) script(name string) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	cmd := w.command("bash", filepath.Join(here, "testdata", name))
	cmd.Env = append(cmd.Env,
		"PRELUDE="+filepath.Join(here, "..", "e2e", "testdata", "prelude"),
		"GREET="+filepath.Join(here, "..", "demo", "testdata"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("testdata/%s: %w\n%s", name, err, out)
	}
	return nil
}

// suite runs the suite of a version of the specification as the robot, and
// returns what it found.
func (w *world) suite(results, spec string) (*report, error) {
	results, err := filepath.Abs(results)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(results, 0o755); err != nil {
		return nil, err
	}
	name, secret, err := w.login()
	if err != nil {
		return nil, err
	}
	cmd := w.command("oci-conformance")
	cmd.Env = append(cmd.Env, "OCI_REGISTRY="+w.registry(), "OCI_TLS=disabled", "OCI_REPO1="+repo1, "OCI_REPO2="+repo2,
		"OCI_USERNAME="+name, "OCI_PASSWORD="+secret, "OCI_LOG=error", "OCI_RESULTS_DIR="+results)
	if spec != "" {
		cmd.Env = append(cmd.Env, "OCI_VERSION="+spec)
	}
	junit := filepath.Join(results, "junit.xml")
	if err := os.Remove(junit); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	out, runErr := cmd.CombinedOutput() // it also fails when a test did
	raw, err := os.ReadFile(junit)
	if err != nil {
		return nil, fmt.Errorf("it left no report: %v, %w\n%s", runErr, err, out)
	}
	return parseReport(raw)
}

// login returns the user name and the password of the robot that publishes.
func (w *world) login() (name, secret string, err error) {
	token, err := os.ReadFile(filepath.Join(w.dir, "robot.token"))
	return "robot$suite", strings.TrimSpace(string(token)), err
}
