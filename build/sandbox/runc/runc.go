// Package runc runs the jobs of build/sandbox by an OCI runtime: runc.
//
// The runtime makes the world, by a configuration that allows what the embedded
// runner allows (config.go). What runs in it first is this program all the same,
// so jobs begin, are watched, are held to their limits and end alike, and leave
// the same bytes. It is for who trusts a runtime they know, or whose machine lets
// that alone make namespaces.
package runc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/build/sandbox"
)

// Options are the options of the runner. The zero value is right.
type Options struct {
	Program string // the runtime; "" is runc in PATH
	User    int    // as in [sandbox.Options]
}

// A Runner runs jobs by an OCI runtime.
type Runner struct{ o Options }

const nobody = 65534

// New returns a runner, or an error where the runtime is not there.
func New(o *Options) (*Runner, error) {
	r := &Runner{}
	if o != nil {
		r.o = *o
	}
	if r.o.Program == "" {
		r.o.Program = "runc"
	}
	if r.o.User == 0 {
		r.o.User = nobody
	}
	var err error
	if r.o.Program, err = exec.LookPath(r.o.Program); err != nil {
		return nil, fmt.Errorf("%w: the OCI runtime: %w", sandbox.ErrUnavailable, err)
	}
	return r, nil
}

// Run implements [sandbox.Runner].
func (r *Runner) Run(ctx context.Context, j *sandbox.Job) (*sandbox.Result, error) {
	w := &container{program: r.o.Program, root: os.Geteuid() == 0, user: r.o.User, runtime: -1}
	w.first.Store(-1)
	result, err := sandbox.Contain(ctx, j, w)
	// A runtime that failed says why in its log, not where the job's words go.
	if said := w.said; said != "" && err != nil && !w.began {
		err = fmt.Errorf("%w: %s: %s", sandbox.ErrUnavailable, filepath.Base(r.o.Program), said)
	}
	return result, err
}

// A container is the world of one job.
type container struct {
	program string
	root    bool
	user    int

	dir     string       // the bundle, the runtime's state and its log
	runtime int          // its process, as a descriptor
	first   atomic.Int64 // the first process inside, as a descriptor
	began   bool
	given   string // the source, where it belongs to the job's user meanwhile
	said    string // by the runtime
}

// Names in the container's directory.
const (
	bundleDir = "bundle"
	rootDir   = "rootfs" // of the bundle
	devDir    = "dev"    // of the bundle
	stateDir  = "state"
	logFile   = "log"
)

const id = "build" // names are a state directory's own

// Start implements [sandbox.World].
func (c *container) Start(h *sandbox.Hold, wire *os.File) (child int, err error) {
	if c.dir, err = os.MkdirTemp("", "patchfit-runc-"); err != nil {
		return 0, err
	}
	if err := c.prepare(h); err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	stdout, stderr := h.Outputs()
	args := []string{"runc", "--root", c.at(stateDir), "--log", c.at(logFile), "--log-format", "json",
		"run", "--no-new-keyring", "--preserve-fds", "1", "--bundle", c.at(bundleDir), id}
	child, err = syscall.ForkExec(c.program, args, &syscall.ProcAttr{
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR=" + c.dir},
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd(), wire.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL, PidFD: &c.runtime},
	})
	if err != nil {
		return 0, fmt.Errorf("%w: starting the OCI runtime: %w", sandbox.ErrUnavailable, err)
	}
	return child, nil
}

func (c *container) at(name ...string) string {
	return filepath.Join(append([]string{c.dir}, name...)...)
}

// prepare writes the bundle, and makes root's source the job's user's.
func (c *container) prepare(h *sandbox.Hold) error {
	if err := c.bundle(h.Root()); err != nil {
		return fmt.Errorf("preparing a container: %w", err)
	}
	spec, err := c.config(h)
	if err != nil {
		return err
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.at(bundleDir, "config.json"), b, 0o644); err != nil {
		return err
	}
	if !c.root {
		return nil
	}
	c.given = h.Work()
	if err := sandbox.ChangeOwner(c.given, 0, c.user); err != nil {
		return fmt.Errorf("giving the source to the job's user: %w", err)
	}
	return nil
}

// Began implements [sandbox.World]. What the first process is made of is taken
// out of the root again before the job can see it.
func (c *container) Began(first int) (err error) {
	c.began = true
	fd, err := unix.PidfdOpen(first, 0)
	if err != nil {
		return err
	}
	c.first.Store(int64(fd))
	return os.Remove(c.at(bundleDir, rootDir, sandbox.First))
}

// End implements [sandbox.World]: all ends with the first process, and with it
// the runtime; before there is one, with the runtime.
func (c *container) End() {
	fd := c.runtime
	if first := c.first.Load(); first >= 0 {
		fd = int(first)
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// Close implements [sandbox.World].
func (c *container) Close() error {
	for _, fd := range []int{int(c.first.Load()), c.runtime} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	c.said = lastWord(c.at(logFile))
	// What a runtime that was killed leaves: its control groups, a first process.
	if _, err := os.Stat(c.at(stateDir, id)); err == nil {
		_ = exec.Command(c.program, "--root", c.at(stateDir), "delete", "--force", id).Run()
	}
	err := os.RemoveAll(c.dir)
	if c.given != "" {
		err = errors.Join(err, sandbox.ChangeOwner(c.given, c.user, 0))
	}
	return err
}

// lastWord returns the last message of a runtime's log.
func lastWord(name string) (said string) {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(b) {
		var entry struct {
			Msg string `json:"msg"`
		}
		if json.Unmarshal(line, &entry) == nil && entry.Msg != "" {
			said = entry.Msg
		}
	}
	return said
}
