package builder

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A command is a program of Debian's that is run.
type command struct {
	name string
	args []string
	dir  string   // working directory
	env  []string // beside PATH, HOME and the proxies

	patience time.Duration // 0 is [patience]
}

// patience is how long a program that was asked to stop has to clean up: what it
// mounted, and what it unpacked.
const patience = 30 * time.Second

// output runs the command and returns what it wrote to standard output. Where it
// fails, the error has the last of what it said.
func (c command) output(ctx context.Context) ([]byte, error) {
	var out bytes.Buffer
	said := &tail{}
	cmd := exec.CommandContext(ctx, c.name, c.args...)
	cmd.Dir, cmd.Env = c.dir, append(environment(), c.env...)
	cmd.Stdout, cmd.Stderr = &out, said
	// In a group of its own: the terminal's ^C is for us, who pass it on once, to all
	// of the group, as a terminal would.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = cmp.Or(c.patience, patience)
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		if cmd.Process != nil {
			endGroup(cmd.Process.Pid)
		}
		return nil, ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return nil, &MissingError{c.name}
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", c.name, err, said)
	}
	return out.Bytes(), nil
}

// endGroup ends what is left of a group whose leader is gone, and returns when
// nothing is: what still runs would write into what is being removed.
func endGroup(group int) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := syscall.Kill(-group, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
			return
		}
	}
}

// Steps that a program of Debian's does, by what a person can do where it fails.
const (
	StepLookUp  = "look up"
	StepInstall = "install"
)

// A StepError is a step that went wrong.
type StepError struct {
	Step string
	What string // was being done
	Err  error  // what the program said
}

func (e *StepError) Error() string { return e.What + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// A MissingError is a program that is not on this machine.
type MissingError struct{ Program string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed", e.Program)
}

// environment is what programs get of ours: where they are and how they reach an
// archive, nothing that changes what they make.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8", "TZ=UTC", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, name := range []string{"HOME", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// A tail keeps the last of what is written to it.
type tail struct{ b []byte }

const (
	maxTail = 4 << 10
	maxLine = 300
)

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if n := len(t.b); n > maxTail {
		t.b = append(t.b[:0], t.b[n-maxTail:]...)
	}
	return len(b), nil
}

// String returns the last lines in one.
func (t *tail) String() string {
	lines := strings.FieldsFunc(string(t.b), func(r rune) bool { return r == '\n' || r == '\r' })
	lines = lines[max(0, len(lines)-6):]
	for i, l := range lines {
		if len(l) > maxLine {
			lines[i] = l[:maxLine] + "…"
		}
	}
	return strings.Join(lines, "; ")
}
