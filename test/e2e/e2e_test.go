// Package e2e runs the built programs as their users do: one script a promise,
// in testdata/script, readable by someone who does not write Go. It is a
// module of its own so that what only tests need stays out of the product.
package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestSpine runs the scripts of the spine: publish, gate, pull and query.
func TestSpine(t *testing.T) { area(t, "spine", nil, "oras") }

// area runs the scripts of testdata/script/NAME, with these clients; setUp, where
// there is one, has the last word on their environment. `make e2e AREA=NAME` runs
// the tests whose names begin with TestNAME.
func area(t *testing.T, name string, setUp func(*testscript.Env), clients ...string) {
	scripts(t, testscript.Params{Dir: filepath.Join("testdata", "script", name)}, setUp, clients...)
}

// scripts runs those that which names, as area does.
func scripts(t *testing.T, which testscript.Params, setUp func(*testscript.Env), clients ...string) {
	bin := programs(t, clients...)
	testscript.Run(t, testscript.Params{
		Dir:                 which.Dir,
		Files:               which.Files,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Values[serverKey{}] = new(*running)
			e.Values[othersKey{}] = map[string]*running{}
			e.Values[bucketKey{}] = new(bucketServer)
			e.Values[frontKey{}] = new(front)
			e.Values[lieKey{}] = new(http.Server)
			e.Setenv("PRELUDE", filepath.Join(moduleDir(t), "testdata", "prelude"))
			e.Setenv("GREET", filepath.Join(moduleDir(t), "..", "demo", "testdata"))
			if setUp != nil {
				setUp(e)
			}
			return nil
		},
		Cmds:          commandsOfScripts(),
		UpdateScripts: os.Getenv("PATCHFIT_UPDATE") != "", // write what was cmp'ed again
	})
}

// commandsOfScripts are what our scripts know besides testscript's own.
func commandsOfScripts() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"server":  server,
		"setenv":  setenv,
		"port":    port,
		"another": another,
		"exits":   exits,
		"refused": refused,
		"cutoff":  cutoff,
		"s3":      s3,
		"logged":  logged,
		"proxy":   proxy,
		"files":   files,
		"example": example,

		"lie":         lie,
		"replaceleaf": replaceleaf,
	}
}

// TestSpineAreas finds scripts that no test runs.
func TestSpineAreas(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("testdata", "script"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || !slices.Contains([]string{"build", "evidence", "front", "spine"}, e.Name()) {
			t.Errorf("testdata/script/%s belongs to no area: see area in e2e_test.go", e.Name())
		}
	}
}

// programs returns the directory of the built programs, with these clients.
func programs(t *testing.T, clients ...string) string {
	dir := os.Getenv("PATCHFIT_BIN")
	if dir == "" {
		dir = filepath.Join(moduleDir(t), "..", "..", "bin")
	}
	for _, name := range append([]string{"patchfit", "patchfitd", "patchfit-agent", "docker-credential-patchfit"}, clients...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Fatalf("%s is not built: run make e2e", name)
		}
	}
	return dir
}

func moduleDir(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// running is a patchfitd that a script started.
type running struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// server starts, stops (SIGTERM) or kills (SIGKILL) the script's patchfitd. It
// sets $URL and $REGISTRY to its address.
func server(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: server start|stop|kill")
	}
	old := *ts.Value(serverKey{}).(**running)
	switch args[0] {
	case "start":
		start(ts)
	case "stop", "kill":
		if old == nil {
			ts.Fatalf("no server runs")
		}
		sig := map[string]syscall.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL}[args[0]]
		old.end(sig)
	default:
		ts.Fatalf("usage: server start|stop|kill")
	}
}

func (r *running) end(sig syscall.Signal) {
	r.cmd.Process.Signal(sig)
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		r.cmd.Process.Kill()
		<-r.done
	}
}

func start(ts *testscript.TestScript) {
	path, err := lookPath(ts.Getenv("PATH"), "patchfitd")
	ts.Check(err)
	cmd := exec.Command(path, "serve", "--config", "pf/patchfitd.yaml")
	cmd.Dir = ts.MkAbs(".")
	r, line, err := startServer(cmd, ts.MkAbs("patchfitd.log"))
	ts.Check(err)
	ts.Defer(func() { r.end(syscall.SIGTERM) })
	url, ok := strings.CutPrefix(line, "listening on ")
	if !ok {
		ts.Fatalf("patchfitd did not start: %q\n%s", line, ts.ReadFile("patchfitd.log"))
	}
	ts.Setenv("URL", url)
	_, registry, _ := strings.Cut(url, "://")
	ts.Setenv("REGISTRY", registry)
	*ts.Value(serverKey{}).(**running) = r
}

// startServer starts cmd, adds what it logs to a file, and returns the first
// line it prints.
func startServer(cmd *exec.Cmd, logFile string) (*running, string, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	r := &running{cmd: cmd, done: make(chan struct{})}
	lines := bufio.NewReader(stdout)
	line, _ := lines.ReadString('\n')
	go func() {
		defer close(r.done)
		lines.WriteTo(log)
		cmd.Wait()
		log.Close()
	}()
	return r, strings.TrimSpace(line), nil
}

type serverKey struct{}

func lookPath(path, name string) (string, error) {
	if filepath.IsAbs(name) && executable(name) {
		return name, nil
	}
	for dir := range strings.SplitSeq(path, string(os.PathListSeparator)) {
		if p := filepath.Join(dir, name); executable(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH", name)
}

func executable(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0
}

// setenv NAME FILE sets a variable to a file's text, without the last newline.
func setenv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setenv NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// port [NAME...] sets $PORT, or each $PORT_NAME, to a free port: a server keeps
// its address over restarts.
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: port [NAME...]")
	}
	names := []string{"PORT"}
	if len(args) > 0 {
		names = nil
		for _, name := range args {
			names = append(names, "PORT_"+name)
		}
	}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		_, p, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		defer l.Close() // so that no two are the same
		ts.Setenv(name, p)
	}
}

// another NAME PROGRAM ARG... starts a program that says when it listens, and
// another NAME stops it.
func another(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: another NAME [PROGRAM ARG...]")
	}
	others := ts.Value(othersKey{}).(map[string]*running)
	if old := others[args[0]]; old != nil {
		old.end(syscall.SIGTERM)
		delete(others, args[0])
	}
	if len(args) == 1 {
		return
	}
	path, err := lookPath(ts.Getenv("PATH"), args[1])
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	log := ts.MkAbs(args[0] + ".log")
	r, line, err := startServer(cmd, log)
	ts.Check(err)
	ts.Defer(func() { r.end(syscall.SIGTERM) })
	if !strings.HasPrefix(line, "listening on ") {
		ts.Fatalf("%s did not start: %q\n%s", args[0], line, ts.ReadFile(log))
	}
	others[args[0]] = r
}

type othersKey struct{}

// exits CODE PROGRAM ARG... asks for an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code, exit := 0, (*exec.ExitError)(nil)
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s: exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}
