package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Of a traced process only its beginnings stop it: a fork, so that the child is
// traced too, and a program that was just loaded. System calls do not.
const traceOptions = unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL

// trace begins to trace a process and what it will start, where Job.Watch asks
// for it. The thread that calls it is the one that waits. own says of a process
// that what it runs is the runner's, not the job's.
func (h *Hold) trace(pid int, own func(pid int) bool) error {
	if h.job.Watch == nil {
		return nil
	}
	h.own = own
	// A thread that is traced has its new threads traced too, so it is done when
	// none is new.
	for traced := map[string]bool{}; ; {
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			return fmt.Errorf("tracing the job: %w", err)
		}
		more := false
		for _, t := range threads {
			if traced[t.Name()] {
				continue
			}
			traced[t.Name()], more = true, true
			// A thread that ended, or is traced as its maker is, need not be.
			if err := seize(t.Name()); err != nil && !errors.Is(err, unix.ESRCH) && !tracedByUs(t.Name()) {
				return fmt.Errorf("tracing the job (it takes the right to trace): %w", err)
			}
		}
		if !more {
			return nil
		}
	}
}

func seize(thread string) error {
	tid, err := strconv.Atoi(thread)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, traceOptions, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func tracedByUs(thread string) bool {
	b, err := os.ReadFile("/proc/" + thread + "/status")
	return err == nil && bytes.Contains(b, []byte("\nTracerPid:\t"+strconv.Itoa(unix.Gettid())+"\n"))
}

// wait waits for a process, and for all that are traced, and counts the
// processor time it and what it waited for used.
func (h *Hold) wait(pid int) error {
	which, options := pid, 0
	if h.own != nil {
		// This thread's alone: the caller's program has children of its own.
		which, options = -1, unix.WALL|unix.WNOTHREAD
	}
	for {
		var status unix.WaitStatus
		var used unix.Rusage
		got, err := unix.Wait4(which, &status, options, &used)
		switch {
		case err == unix.EINTR:
		case err == unix.ECHILD:
			return nil
		case err != nil:
			return fmt.Errorf("waiting for the sandbox: %w", err)
		case status.Stopped():
			h.stopped(got, status)
		case got == pid:
			h.cpu.Store(max(h.cpu.Load(), used.Utime.Nano()+used.Stime.Nano()))
		}
	}
}

// stopped lets a traced process go on, once what it runs was told.
func (h *Hold) stopped(pid int, status unix.WaitStatus) {
	signal, event := status.StopSignal(), int(status)>>16
	request := unix.PTRACE_CONT
	switch event {
	case 0: // a signal on its way
	case unix.PTRACE_EVENT_STOP:
		if signal != unix.SIGTRAP { // the whole process was stopped, and stays so until SIGCONT
			request = unix.PTRACE_LISTEN
		}
		signal = 0
	case unix.PTRACE_EVENT_EXEC:
		if err := h.ran(pid); err != nil {
			h.cancel(fmt.Errorf("watching what the build runs: %w", err))
		}
		signal = 0
	default:
		signal = 0
	}
	// One that was killed meanwhile is waited for like any other.
	_, _, _ = unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), 0, uintptr(signal), 0, 0)
}

// ran tells of a program that is about to begin.
func (h *Hold) ran(pid int) error {
	if h.own(pid) {
		return nil
	}
	e, err := readExec("/proc/" + strconv.Itoa(pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil // killed before its first instruction: it ran nothing
	}
	if err != nil {
		return err
	}
	h.job.Watch(e)
	return nil
}

// readExec reads what a process at its very beginning is.
func readExec(proc string) (e Exec, err error) {
	if e.Real, err = os.Readlink(proc + "/exe"); err != nil {
		return e, err
	}
	if e.Dir, err = os.Readlink(proc + "/cwd"); err != nil {
		return e, err
	}
	argv, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		return e, err
	}
	e.Argv = strings.Split(strings.TrimSuffix(string(argv), "\x00"), "\x00")
	asked, err := askedFor(proc)
	switch {
	case err != nil:
		return e, err
	case strings.HasPrefix(asked, "/dev/fd/"): // an open file, not a name
		e.Path = e.Real
	case path.IsAbs(asked):
		e.Path = asked
	default:
		e.Path = path.Join(e.Dir, asked)
	}
	return e, nil
}

// askedFor returns the name a program was started by. The kernel leaves it on
// the program's stack, and in the auxiliary vector where (getauxval(3), AT_EXECFN).
func askedFor(proc string) (string, error) {
	vector, err := os.ReadFile(proc + "/auxv")
	if err != nil {
		return "", err
	}
	const entry, execfn = 16, 31
	for ; len(vector) >= entry; vector = vector[entry:] {
		if binary.NativeEndian.Uint64(vector) != execfn {
			continue
		}
		mem, err := os.Open(proc + "/mem")
		if err != nil {
			return "", err
		}
		defer mem.Close()
		name := make([]byte, unix.PathMax+1)
		n, err := mem.ReadAt(name, int64(binary.NativeEndian.Uint64(vector[8:])))
		if err != nil && !errors.Is(err, io.EOF) && n == 0 {
			return "", err
		}
		name, _, ok := bytes.Cut(name[:n], []byte{0})
		if !ok {
			return "", errProc
		}
		return string(name), nil
	}
	return "", fmt.Errorf("%w: a program without a name", errProc)
}
