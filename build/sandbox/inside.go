package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a program that is started as one of these names does instead of its own
// work.
const (
	First      = "patchfit-sandbox"      // the first process inside
	launchName = "patchfit-sandbox-exec" // what becomes the command
)

// wireFD is the socket to the caller, in the first process.
const wireFD = 3

// Main is what a program that uses [Embedded] calls before anything else: the
// runner starts the program again as the first process of a sandbox. Where ours
// is true the program was started so, and ends with the code.
func Main() (code int, ours bool) {
	if len(os.Args) == 0 {
		return 0, false
	}
	switch path.Base(os.Args[0]) {
	case First:
		return first(), true
	case launchName:
		return launch(), true
	}
	return 0, false
}

// first is the first process inside: it makes the world, starts the command,
// waits for it, ends what it left running and says how it ended. When it ends,
// the kernel ends whatever is left. Nobody but the caller hears of it.
func first() int {
	// Nothing inside may look into this process, or have its open files.
	if unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) != nil || unix.CloseRange(wireFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC) != nil {
		return 1
	}
	wire, err := unixConn(os.NewFile(wireFD, "wire"))
	if err != nil {
		return 1
	}
	end, err := serve(wire)
	if err != nil {
		end = answer{Failure: err.Error(), Unavailable: errors.Is(err, ErrUnavailable)}
	}
	if send(wire, end) != nil {
		return 1
	}
	return 0
}

func serve(wire *net.UnixConn) (answer, error) {
	var o order
	if err := receive(wire, &o); err != nil {
		return answer{}, err
	}
	if !o.Made {
		if err := makeWorld(wire, &o); err != nil {
			return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	program, err := find(o.Command[0], o.Dir, o.Env)
	if err != nil {
		return answer{}, err
	}
	if err := send(wire, answer{Ready: true}); err != nil {
		return answer{}, err
	}
	var start bool
	if err := receive(wire, &start); err != nil {
		return answer{}, err
	}
	go endWith(wire)
	return run(program, &o)
}

// endWith ends this process, and with it all others inside, when the caller is
// gone. Its exit code is heard by nobody.
func endWith(wire *net.UnixConn) {
	_, _ = wire.Read(make([]byte, 1))
	unix.Exit(1)
}

// run starts the command and waits for it.
func run(program string, o *order) (answer, error) {
	pid, err := start(program, o)
	if err != nil {
		return answer{}, err
	}
	status, err := reap(pid)
	if err != nil {
		return answer{}, err
	}
	// What outlives the command does not outlive the build.
	if err := unix.Kill(-1, unix.SIGKILL); err == nil {
		_, _ = reap(-1)
	}
	if status.Signaled() {
		return answer{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}, nil
	}
	return answer{Code: status.ExitStatus()}, nil
}

// reap waits for children, its own and those that lost their parent, until pid
// ended or none is left.
func reap(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return status, fmt.Errorf("waiting for the command: %w", err)
		case got == pid:
			return status, nil
		}
	}
}

// A launched command is told its limits and its program; the rest is argv.
type launching struct {
	Program  string
	Rlimits  []rlimit
	Confined bool // there are no rights to give up any more
}

type rlimit struct {
	Resource  int
	Soft, Max uint64
}

// start starts this program once more, to become the command. It returns when
// the command runs.
func start(program string, o *order) (pid int, err error) {
	how, err := json.Marshal(launching{program, o.Rlimits, o.Made})
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	null, err := os.Open("/dev/null")
	if err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec("/proc/self/exe", append([]string{launchName, string(how)}, o.Command...), &syscall.ProcAttr{
		Dir:   o.Dir,
		Env:   o.Env,
		Files: []uintptr{null.Fd(), 1, 2, w.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err := errors.Join(w.Close(), null.Close()); err != nil {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("starting %s in %s: %w", o.Command[0], o.Dir, err)
	}
	failure, err := io.ReadAll(r) // ends when the command runs
	if err != nil || len(failure) > 0 {
		return 0, fmt.Errorf("starting %s: %s%w", o.Command[0], failure, err)
	}
	return pid, nil
}

// launch gives up all rights and becomes the command.
func launch() int {
	runtime.LockOSThread() // rights are a thread's own
	failure := os.NewFile(3, "failure")
	err := become()
	fmt.Fprint(failure, err)
	return 127
}

func become() error {
	if len(os.Args) < 3 {
		return errors.New("no command")
	}
	unix.CloseOnExec(3)
	var how launching
	if err := json.Unmarshal([]byte(os.Args[1]), &how); err != nil {
		return err
	}
	syscall.Umask(0o022)
	for _, r := range how.Rlimits {
		if err := setRlimit(r); err != nil {
			return err
		}
	}
	if !how.Confined {
		if err := confine(); err != nil {
			return err
		}
	}
	return syscall.Exec(how.Program, os.Args[2:], os.Environ())
}

// setRlimit sets a limit, or the one the caller has where that is lower.
func setRlimit(r rlimit) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(r.Resource, &now); err != nil {
		return fmt.Errorf("limit %d: %w", r.Resource, err)
	}
	limit := syscall.Rlimit{Max: min(r.Max, now.Max)}
	limit.Cur = min(r.Soft, limit.Max)
	if err := syscall.Setrlimit(r.Resource, &limit); err != nil {
		return fmt.Errorf("limit %d: %w", r.Resource, err)
	}
	return nil
}

// find returns the program that a command names, as execvp does.
func find(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join(dir, name)
		}
		return name, executable(name)
	}
	first := error(nil)
	for _, d := range strings.Split(lookup(env, "PATH"), ":") {
		if !path.IsAbs(d) {
			continue
		}
		program := path.Join(d, name)
		err := executable(program)
		if err == nil {
			return program, nil
		}
		if first == nil && !errors.Is(err, fs.ErrNotExist) {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("the builder image has no program %s in its PATH", name)
	}
	return "", first
}

func executable(program string) error {
	info, err := os.Stat(program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the builder image has no program %s: %w", program, fs.ErrNotExist)
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s in the builder image is no program", program)
	}
	return nil
}

func lookup(env []string, name string) string {
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
