package sandbox

import (
	"context"
	"fmt"
	"os"
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
	return Contain(ctx, j, &embedded{root: os.Geteuid() == 0, user: e.o.User})
}

// An embedded world is made of namespaces, by the first process in them.
type embedded struct {
	root  bool
	user  int
	first int
	pidfd int
	given string // the source, where it belongs to the job's user meanwhile
}

// Start implements [World].
func (w *embedded) Start(h *Hold, wire *os.File) (child int, err error) {
	uid, gid := os.Getuid(), os.Getgid()
	if w.root {
		uid, gid = w.user, w.user
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	w.pidfd = -1
	stdout, stderr := h.Outputs()
	w.first, err = syscall.ForkExec("/proc/self/exe", []string{First}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd(), wire.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
			UidMappings: []syscall.SysProcIDMap{{HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: gid, Size: 1}},
			// Groups of the caller can be given up by root alone.
			GidMappingsEnableSetgroups: w.root,
			Credential:                 &syscall.Credential{NoSetGroups: !w.root},
			Setsid:                     true,
			Pdeathsig:                  unix.SIGKILL,
			PidFD:                      &w.pidfd,
		},
	})
	if err != nil {
		return 0, fmt.Errorf("%w: starting a process in namespaces of its own: %w", ErrUnavailable, err)
	}
	return w.first, nil
}

// order implements maker.
func (w *embedded) order(h *Hold, o *order) (err error) {
	if !w.root {
		o.Root, o.Work = h.rootDir, h.workDir
	}
	o.Place, err = placeOfRoot()
	return err
}

// Began implements [World].
func (w *embedded) Began(int) error { return nil }

// End implements [World]: the kernel ends all with the first.
func (w *embedded) End() { _ = unix.PidfdSendSignal(w.pidfd, unix.SIGKILL, nil, 0) }

// Close implements [World].
func (w *embedded) Close() error {
	if w.pidfd >= 0 {
		unix.Close(w.pidfd)
	}
	if w.given == "" {
		return nil
	}
	if err := ChangeOwner(w.given, w.user, 0); err != nil {
		return fmt.Errorf("taking back what the job left: %w", err)
	}
	return nil
}
