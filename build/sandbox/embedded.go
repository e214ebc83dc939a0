package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Embedded runs jobs in namespaces of Linux: user, mount, pid, network, ipc,
// uts and cgroup. It needs no rights. Whoever runs it is uid 0 inside without
// any capability; root is not, it hands the job to a user without rights.
//
// The runner starts its own program again as the first process inside, so a
// program that has one calls [Main] before anything else.
type Embedded struct{ o Options }

// Options are the options of the runners. The zero value is right.
type Options struct {
	// User is the uid and gid that root runs jobs as; 0 is 65534, nobody. Others
	// run them as themselves.
	User int
}

const nobody = 65534

// New returns the embedded runner.
func New(o *Options) *Embedded {
	e := &Embedded{}
	if o != nil {
		e.o = *o
	}
	fill(&e.o.User, nobody)
	return e
}

// Run implements [Runner].
func (e *Embedded) Run(ctx context.Context, j *Job) (*Result, error) {
	h, err := NewHold(ctx, j)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	b := &box{Hold: h, root: os.Geteuid() == 0, user: e.o.User}
	// The thread that starts the first process has to live as long as that: the
	// kernel ends it with its parent thread, and tells a tracer's thread alone.
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread goes with the goroutine
		done <- b.run()
	}()
	return h.Finish(<-done)
}

// A box is one run of the embedded runner.
type box struct {
	*Hold
	root bool
	user int
	wire *net.UnixConn

	pidfd int  // of the first process
	given bool // the source belongs to the job's user meanwhile
}

// end ends the first process, and so all others.
func (b *box) end() { _ = unix.PidfdSendSignal(b.pidfd, unix.SIGKILL, nil, 0) }

func (b *box) run() error {
	far, err := b.connect()
	if err != nil {
		return err
	}
	defer b.wire.Close()
	pid, err := b.start(far)
	if err := errors.Join(err, far.Close()); err != nil {
		return err
	}
	defer unix.Close(b.pidfd)
	// From here on the process is waited for, whatever happens.
	failure := b.Trace(pid, b.ours())
	end := make(chan answer, 1)
	go func() {
		a, err := answer{}, failure
		if err == nil {
			a, err = b.talk(pid)
		}
		if err != nil {
			a = answer{Failure: err.Error(), Unavailable: errors.Is(err, ErrUnavailable)}
			b.end()
		}
		end <- a
	}()
	err = b.Wait(pid, b.end)
	said := <-end // what is gone has said its last word
	if err := errors.Join(err, b.takeBack()); err != nil {
		return err
	}
	return b.judge(said)
}

// ours returns what tells this program, which is the first process and then what
// becomes the command, from all others.
func (b *box) ours() func(pid int) bool {
	self, err := os.Stat("/proc/self/exe")
	return func(pid int) bool {
		info, err2 := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
		return err == nil && err2 == nil && os.SameFile(self, info)
	}
}

func (b *box) connect() (far *os.File, err error) {
	b.wire, far, err = socketpair()
	return far, err
}

// start starts the first process in namespaces of its own.
func (b *box) start(far *os.File) (pid int, err error) {
	uid, gid := os.Getuid(), os.Getgid()
	if b.root {
		uid, gid = b.user, b.user
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	stdout, stderr := b.Outputs()
	pid, err = syscall.ForkExec("/proc/self/exe", []string{firstName}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd(), far.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
			UidMappings: []syscall.SysProcIDMap{{HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: gid, Size: 1}},
			// Groups of the caller can be given up by root alone.
			GidMappingsEnableSetgroups: b.root,
			Credential:                 &syscall.Credential{NoSetGroups: !b.root},
			Setsid:                     true,
			Pdeathsig:                  unix.SIGKILL,
			PidFD:                      &b.pidfd,
		},
	})
	if err != nil {
		return 0, fmt.Errorf("%w: starting a process in namespaces of its own: %w", ErrUnavailable, err)
	}
	return pid, nil
}

// talk tells the first process what to do and returns what it says at the end.
func (b *box) talk(pid int) (answer, error) {
	o, err := b.order()
	if err != nil {
		return answer{}, err
	}
	if err := send(b.wire, o); err != nil {
		return answer{}, err
	}
	if b.root {
		if err := b.sendTrees(pid); err != nil {
			return answer{}, err
		}
	}
	a, err := b.hear()
	if err != nil || !a.Ready {
		return a, err
	}
	if err := b.Inside(pid, true); err != nil {
		return a, err
	}
	if err := send(b.wire, true); err != nil {
		return a, err
	}
	return b.hear()
}

var errGone = errors.New("the sandbox ended without a word")

func (b *box) hear() (a answer, err error) {
	if err := receive(b.wire, &a); errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return a, errGone
	} else if err != nil {
		return a, err
	}
	return a, nil
}

func (b *box) order() (*order, error) {
	place, err := placeOfRoot()
	if err != nil {
		return nil, err
	}
	o := &order{Place: place, Dir: b.dir, Command: b.job.Command, Env: b.job.Env, Memory: b.limits.Memory, Rlimits: b.rlimits()}
	if !b.root {
		o.Root, o.Work = b.rootDir, b.workDir
	}
	return o, nil
}

// judge turns what the first process said at the end into an error.
func (b *box) judge(a answer) error {
	switch {
	case a.Unavailable:
		return fmt.Errorf("%w%s", ErrUnavailable, strings.TrimPrefix(a.Failure, ErrUnavailable.Error()))
	case a.Failure != "":
		return errors.New(a.Failure)
	case a.Signal != 0 || a.Code != 0:
		return &ExitError{Command: b.job.Command, Code: a.Code, Signal: syscall.Signal(a.Signal)}
	}
	return nil
}
