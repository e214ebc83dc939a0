package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cutoff SIGNAL FILE PROGRAM ARG... starts a program, sends it INT or KILL as soon
// as there is a file of that pattern, and asks that it fails. What it said on its
// standard error is then the script's standard output.
func cutoff(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	if neg || len(args) < 3 || signals[args[0]] == 0 {
		ts.Fatalf("usage: cutoff INT|KILL FILE PROGRAM ARG...")
	}
	path, err := lookPath(ts.Getenv("PATH"), args[2])
	ts.Check(err)
	cmd := exec.Command(path, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "PATCHFIT_CONFIG"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	var out bytes.Buffer
	cmd.Stderr = &out
	ts.Check(cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for err = errRuns; err == errRuns; {
		select {
		case err = <-done:
		case <-time.After(time.Millisecond):
			if found, _ := filepath.Glob(ts.MkAbs(args[1])); len(found) > 0 {
				cmd.Process.Signal(signals[args[0]])
				err = <-done
			}
		}
	}
	if err == nil {
		ts.Fatalf("%s had ended before there was %s:\n%s", strings.Join(args[2:], " "), args[1], out.String())
	}
	_, err = ts.Stdout().Write(out.Bytes())
	ts.Check(err)
}

var errRuns = errors.New("it runs")
