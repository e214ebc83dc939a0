package main

import (
	"bufio"
	"bytes"
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

// A world is a fresh state directory, the programs, and the running server.
type world struct {
	ctx    context.Context
	bin    string
	dir    string
	stderr io.Writer

	server    *exec.Cmd
	serverLog *os.File
	url       string // of the server

	refs map[string]string // what was made: digests by tag, the product id, the roots' digest
}

func newWorld(ctx context.Context, bin string, stderr io.Writer) (*world, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"patchfit", "patchfitd", "patchfit-agent", "docker-credential-patchfit", "oras"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return nil, fmt.Errorf("%s is not built: run make demo", name)
		}
	}
	dir, err := os.MkdirTemp("", "patchfit-demo-")
	if err != nil {
		return nil, err
	}
	return &world{ctx: ctx, bin: bin, dir: dir, stderr: stderr, refs: map[string]string{}}, nil
}

func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

func (w *world) close(keep bool) {
	w.stopServer()
	if keep {
		fmt.Fprintln(w.stderr, "state kept in", w.dir)
		return
	}
	os.RemoveAll(w.dir)
}

// An output is what a program printed and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

// run runs one of our programs, or any other, in the state directory.
func (w *world) run(env []string, name string, args ...string) (output, error) {
	path := filepath.Join(w.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = name
	}
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "PATH="+w.bin+":"+os.Getenv("PATH"), "HOME="+w.dir)
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	o := output{strings.TrimSpace(stdout.String()), strings.TrimSpace(stderr.String()), cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && w.ctx.Err() == nil {
		return o, nil
	}
	return o, err
}

// ok runs a program that has to succeed, and returns its standard output.
func (w *world) ok(env []string, name string, args ...string) (string, error) {
	o, err := w.run(env, name, args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if o.code != 0 {
		return "", fmt.Errorf("%s %s: exit code %d\n%s\n%s", name, strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return o.stdout, nil
}

// refused runs a program that has to fail and to say each of words.
func (w *world) refused(env []string, words []string, name string, args ...string) (string, error) {
	o, err := w.run(env, name, args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	said := o.stdout + "\n" + o.stderr
	if o.code == 0 {
		return "", fmt.Errorf("%s %s was not refused\n%s", name, strings.Join(args, " "), said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			return "", fmt.Errorf("%s %s was refused without saying %q\n%s", name, strings.Join(args, " "), word, said)
		}
	}
	return lineWith(said, words[0]), nil
}

// lineWith returns the line of s that holds word.
func lineWith(s, word string) string {
	for line := range strings.Lines(s) {
		if strings.Contains(line, word) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// startServer starts patchfitd and waits until it says where it listens.
func (w *world) startServer() error {
	var err error
	if w.serverLog, err = os.OpenFile(w.path("patchfitd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	w.server = exec.Command(filepath.Join(w.bin, "patchfitd"), "serve", "--config", w.path("patchfitd.yaml"))
	w.server.Stderr = w.serverLog
	stdout, err := w.server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.server.Start(); err != nil {
		return fmt.Errorf("starting patchfitd: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		log, _ := os.ReadFile(w.path("patchfitd.log"))
		return fmt.Errorf("patchfitd did not start: %s\n%s", line, log)
	}
	w.url = url
	return nil
}

func (w *world) stopServer() {
	if w.server == nil {
		return
	}
	w.server.Process.Signal(syscall.SIGTERM)
	w.server.Wait()
	w.serverLog.Close()
	w.server = nil
}

// registry returns the server's name in references.
func (w *world) registry() string { return strings.TrimPrefix(w.url, "http://") }
