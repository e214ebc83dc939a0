package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Hold is what holds one job to its limits, from outside, whichever runner
// runs it.
type Hold struct {
	job     *Job
	limits  Limits
	rootDir string // absolute, links resolved
	workDir string
	dir     string // inside

	ctx    context.Context // of the job: its cause is why it was stopped
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when the job ended
	began  time.Time

	readers, writers [2]*os.File // stdout, stderr
	copies           sync.WaitGroup
	meters           sync.WaitGroup

	output, memory, disk atomic.Int64
	cpu                  atomic.Int64 // nanoseconds
	started              bool
	processes            *processes
	own                  func(pid int) bool // what a process runs is the runner's; nil if nothing is traced
}

// newHold checks a job and starts its clock.
func newHold(ctx context.Context, j *Job) (*Hold, error) {
	h := &Hold{job: j, began: time.Now(), over: make(chan struct{})}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("job for the sandbox: %w", err)
	}
	for i := range h.readers {
		var err error
		if h.readers[i], h.writers[i], err = os.Pipe(); err != nil {
			h.closeOutputs()
			return nil, err
		}
	}
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	for i, w := range []io.Writer{j.Stdout, j.Stderr} {
		h.copies.Go(func() { h.copy(w, h.readers[i]) })
	}
	return h, nil
}

func (h *Hold) check() (err error) {
	if h.limits, err = h.job.Limits.or(Defaults()); err != nil {
		return err
	}
	if len(h.job.Command) == 0 || h.job.Command[0] == "" {
		return errors.New("it has no command")
	}
	for _, s := range append(append([]string{h.job.Dir}, h.job.Command...), h.job.Env...) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%q holds a zero byte", s)
		}
	}
	for _, s := range h.job.Env {
		if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
			return fmt.Errorf("%q in its environment is no NAME=value", s)
		}
	}
	if h.dir = path.Join(Build, h.job.Dir); strings.HasPrefix(h.job.Dir, Build) {
		h.dir = path.Clean(h.job.Dir)
	}
	if h.dir != Build && !strings.HasPrefix(h.dir, Build+"/") {
		return fmt.Errorf("its directory %s is not below %s", h.job.Dir, Build)
	}
	if h.rootDir, err = directory(h.job.Root); err != nil {
		return fmt.Errorf("the builder image: %w", err)
	}
	if h.workDir, err = directory(h.job.Work); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if within(h.rootDir, h.workDir) || within(h.workDir, h.rootDir) {
		return fmt.Errorf("the builder image %s and the source %s are in one another", h.rootDir, h.workDir)
	}
	return nil
}

// directory returns where a directory really is.
func directory(name string) (string, error) {
	if name == "" {
		return "", errors.New("it has none")
	}
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if name, err = filepath.EvalSymlinks(name); err != nil {
		return "", err
	}
	info, err := os.Stat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", name)
	}
	return name, err
}

func within(dir, name string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

// Outputs are what the runner's process has as stdout and stderr.
func (h *Hold) Outputs() (stdout, stderr *os.File) { return h.writers[0], h.writers[1] }

// Root is where the builder image really is.
func (h *Hold) Root() string { return h.rootDir }

// Work is where the source really is.
func (h *Hold) Work() string { return h.workDir }

// Limits are the job's, with the defaults filled in.
func (h *Hold) Limits() Limits { return h.limits }

// copy passes on what the job says, up to its limit. Past it, or when w fails,
// what comes is dropped until the job is ended.
func (h *Hold) copy(w io.Writer, r io.Reader) {
	if w == nil {
		w = io.Discard
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if total := h.output.Add(int64(n)); total > h.limits.Output {
			h.cancel(&LimitError{LimitOutput, size(h.limits.Output)})
			w = io.Discard
		}
		if _, err := w.Write(buf[:n]); err != nil {
			h.cancel(fmt.Errorf("passing on what the build says: %w", err))
			w = io.Discard
		}
		if err != nil {
			return
		}
	}
}

func (h *Hold) closeOutputs() {
	for _, f := range h.writers {
		f.Close()
	}
}

// inside is told when the job is about to begin, by the first process: it
// measures from here on.
func (h *Hold) inside(first int) error {
	h.started = true
	if err := h.watchProcesses(first); err != nil {
		return fmt.Errorf("watching the job: %w", err)
	}
	if err := h.watchDisk(); err != nil {
		return fmt.Errorf("watching the job's disk: %w", err)
	}
	return nil
}

// finish returns the result of a job whose process ended with err.
func (h *Hold) finish(err error) (*Result, error) {
	h.closeOutputs()
	h.copies.Wait()
	close(h.over)
	h.meters.Wait()
	if h.started {
		err = h.named(err)
	}
	if cause := context.Cause(h.ctx); cause != nil {
		err = cause
	}
	if !h.started {
		return nil, err
	}
	return &Result{
		Wall:   time.Since(h.began),
		CPU:    time.Duration(h.cpu.Load()),
		Memory: h.memory.Load(),
		Disk:   h.disk.Load(),
		Output: h.output.Load(),
	}, err
}

// named says which limit ended a job, where the kernel ended it before a meter
// saw it, or between the last look and the end.
func (h *Hold) named(err error) error {
	exit := (*ExitError)(nil)
	errors.As(err, &exit)
	switch {
	case time.Duration(h.cpu.Load()) > h.limits.CPU, exit != nil && exit.Signal == syscall.SIGXCPU:
		return &LimitError{LimitCPU, h.limits.CPU.String()}
	case h.disk.Load() > h.limits.Disk:
		return &LimitError{LimitDisk, size(h.limits.Disk)}
	}
	return err
}

// close frees what the hold has.
func (h *Hold) close() {
	h.cancel(nil)
	h.closeOutputs()
	h.processes.close()
	for _, f := range h.readers {
		f.Close()
	}
}

// rlimits are what the kernel holds each process to: a little more than the
// job's limits, so that the meters, which can name a limit, see it first.
func (h *Hold) rlimits() []rlimit {
	seconds := uint64(h.limits.CPU/time.Second) + 2
	threads := uint64(h.limits.Processes + spareThreads)
	return []rlimit{
		{unix.RLIMIT_CORE, 0, 0},
		{unix.RLIMIT_CPU, seconds, seconds + 2},
		{unix.RLIMIT_NOFILE, 1024, 4096},
		{unix.RLIMIT_NPROC, threads, threads},
		{unix.RLIMIT_STACK, 8 * mib, unix.RLIM_INFINITY},
		{unix.RLIMIT_MEMLOCK, 64 << 10, 64 << 10},
	}
}

// spareThreads are for the first process and for seeing a job past its limit.
const spareThreads = 32
