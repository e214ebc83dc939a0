package sandbox

import (
	"bytes"
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
	"time"

	"golang.org/x/sys/unix"
)

// A World is where one job runs: what a runner has of its own. The first process
// in it is this program, started again ([Main]); what that does, and what the
// job may use, is the same for all runners.
type World interface {
	// Start starts the first process, or a program that will. Its stdout and
	// stderr are those of [Hold.Outputs], wire its file 3, and its name is
	// [First], with any directory before it. It returns the process to wait for,
	// which is a child of the thread that called it.
	Start(h *Hold, wire *os.File) (child int, err error)
	// Began is told the first process, once that is ready and before the job runs.
	Began(first int) error
	// End ends all processes. It may be called from any thread, once Start was.
	End()
	// Close frees what the world had, and is called when no process is left.
	Close() error
}

// A maker is a world that is not there when its first process starts: that makes it.
type maker interface {
	order(h *Hold, o *order) error
	trees(h *Hold, wire *net.UnixConn) error
}

// Contain runs a job in a world.
func Contain(ctx context.Context, j *Job, w World) (*Result, error) {
	h, err := newHold(ctx, j)
	if err != nil {
		return nil, err
	}
	defer h.close()
	// The thread that starts the first process has to live as long as that: the
	// kernel ends it with its parent thread, and tells a tracer's thread alone.
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread goes with the goroutine
		done <- h.contain(w)
	}()
	return h.finish(<-done)
}

func (h *Hold) contain(w World) error {
	near, far, err := socketpair()
	if err != nil {
		return err
	}
	defer near.Close()
	child, err := w.Start(h, far)
	if err := errors.Join(err, far.Close()); err != nil {
		return errors.Join(err, w.Close())
	}
	h.closeOutputs()
	defer h.endWith(w)()
	// From here on the child is waited for, whatever happens.
	said, err := h.begin(w, near)
	if err != nil {
		w.End()
	}
	waited := h.wait(child)
	if err == nil && said.Ready {
		said, err = hear(near) // what is gone has said its last word
	}
	if err := errors.Join(waited, w.Close()); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return h.judge(said)
}

// endWith ends the world when the job has to end, until what it returns is called.
func (h *Hold) endWith(w World) func() {
	timer := time.AfterFunc(time.Until(h.began.Add(h.limits.Wall)), func() {
		h.cancel(&LimitError{LimitWall, h.limits.Wall.String()})
	})
	stop := context.AfterFunc(h.ctx, w.End)
	return func() {
		timer.Stop()
		stop()
	}
}

// begin tells the first process what to do. The job runs when it returns an
// answer that is ready.
func (h *Hold) begin(w World, wire *net.UnixConn) (answer, error) {
	o := order{Made: true, Dir: h.dir, Command: h.job.Command, Env: h.job.Env, Memory: h.limits.Memory, Rlimits: h.rlimits()}
	m, makes := w.(maker)
	if makes {
		o.Made = false
		if err := m.order(h, &o); err != nil {
			return answer{}, err
		}
	}
	if err := send(wire, &o); err != nil {
		return answer{}, err
	}
	if makes {
		if err := m.trees(h, wire); err != nil {
			return answer{}, err
		}
	}
	pid, a, err := hearFirst(wire)
	if err != nil || !a.Ready {
		return a, err
	}
	if err := w.Began(pid); err != nil {
		return a, err
	}
	if err := h.trace(pid, sameProgram(pid)); err != nil {
		return a, err
	}
	if err := h.inside(pid); err != nil {
		return a, err
	}
	return a, send(wire, true)
}

// sameProgram returns what tells the first process, and what it is before it
// becomes the command, from all others.
func sameProgram(first int) func(pid int) bool {
	exe := func(pid int) (os.FileInfo, error) { return os.Stat("/proc/" + strconv.Itoa(pid) + "/exe") }
	own, err := exe(first)
	return func(pid int) bool {
		info, err2 := exe(pid)
		return err == nil && err2 == nil && os.SameFile(own, info)
	}
}

var errGone = errors.New("the sandbox ended without a word")

// hearFirst returns what a process says, and which it is: the kernel says so.
func hearFirst(wire *net.UnixConn) (pid int, a answer, err error) {
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	var first [1]byte
	n, got, _, _, err := wire.ReadMsgUnix(first[:], oob)
	if err != nil || n == 0 {
		return 0, a, errGone
	}
	messages, err := unix.ParseSocketControlMessage(oob[:got])
	if err != nil || len(messages) != 1 {
		return 0, a, fmt.Errorf("the first process did not say which it is: %w", err)
	}
	sender, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil {
		return 0, a, err
	}
	err = receive(io.MultiReader(bytes.NewReader(first[:]), wire), &a)
	return int(sender.Pid), a, err
}

func hear(wire *net.UnixConn) (a answer, err error) {
	if err := receive(wire, &a); errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return a, errGone
	} else if err != nil {
		return a, err
	}
	return a, nil
}

// judge turns what the first process said at the end into an error.
func (h *Hold) judge(a answer) error {
	switch {
	case a.Unavailable:
		return fmt.Errorf("%w%s", ErrUnavailable, strings.TrimPrefix(a.Failure, ErrUnavailable.Error()))
	case a.Failure != "":
		return errors.New(a.Failure)
	case a.Signal != 0 || a.Code != 0:
		return &ExitError{Command: h.job.Command, Code: a.Code, Signal: syscall.Signal(a.Signal)}
	}
	return nil
}
