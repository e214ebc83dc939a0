package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/build/sandbox"
)

// A contract is what one runner is tried with.
type contract struct {
	runner sandbox.Runner
	image  string
}

// Run is the test of a runner.
func Run(t *testing.T, r sandbox.Runner) {
	c := &contract{r, Image(t)}
	for name, test := range map[string]func(*contract, *testing.T){
		"world": (*contract).world, "end": (*contract).end, "refused": (*contract).refused, "files": (*contract).files, "daemon": (*contract).daemon,
		"attacks": (*contract).attacks, "limits": (*contract).limits, "stop": (*contract).stop, "watch": (*contract).watch, "several": (*contract).several,
	} {
		t.Run(name, func(t *testing.T) { test(c, t) })
	}
}

// A job gets the same world from every runner, whoever runs it.
func (c *contract) world(t *testing.T) {
	t.Setenv("LD_PRELOAD", "of-the-caller")
	leak, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	if _, err := syscall.Dup(int(leak.Fd())); err != nil { // open in every child
		t.Fatal(err)
	}
	got := c.do(t, func(j *sandbox.Job) {
		j.Dir = "sub/dir"
		if err := os.MkdirAll(filepath.Join(j.Work, j.Dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}, "world")
	want := `uid 0 gid 0 groups []
host build
dir /build/sub/dir
stdin ""
umask 022
env [PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/build LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=0]
files []
dev [fd full null random stderr stdin stdout urandom zero]
tmp []
root [bin build dev proc tmp]
leads its group true
`
	if got.err != nil || got.out != want {
		t.Errorf("%s\n%s", cmp.Diff(want, got.out), got)
	}
}

func (c *contract) end(t *testing.T) {
	if got := c.do(t, nil, "say", "hello"); got.err != nil || got.out != "hello" || got.errout != "" || got.result.Output != 5 {
		t.Errorf("hello: %s", got)
	}
	got := c.do(t, nil, "code", "3")
	if got.code() != 3 || got.err.Error() != "the build failed: payload code 3: exit status 3" {
		t.Errorf("exit code 3: %s", got)
	}
	got = c.do(t, nil, "signal")
	var exit *sandbox.ExitError
	if !errors.As(got.err, &exit) || exit.Code != 128+15 {
		t.Errorf("killed by SIGTERM: %s", got)
	}
	if got = c.do(t, func(j *sandbox.Job) { j.Stdout, j.Stderr = nil, nil }, "say", "to nobody"); got.err != nil {
		t.Errorf("nobody listens: %s", got)
	}
}

// Jobs that cannot be run are errors that say why, and no exit code.
func (c *contract) refused(t *testing.T) {
	for name, refusal := range map[string]struct {
		change func(j *sandbox.Job)
		want   string
	}{
		"no command":        {func(j *sandbox.Job) { j.Command = nil }, "it has no command"},
		"no such program":   {func(j *sandbox.Job) { j.Command = []string{"gcc"} }, "gcc"},
		"no such file":      {func(j *sandbox.Job) { j.Command = []string{"./configure"} }, "configure"},
		"a directory":       {func(j *sandbox.Job) { j.Command = []string{"/bin"} }, "/bin"},
		"no such directory": {func(j *sandbox.Job) { j.Dir = "none" }, "/build/none"},
		"outside the build": {func(j *sandbox.Job) { j.Dir = "../etc" }, "its directory ../etc is not below /build"},
		"no image":          {func(j *sandbox.Job) { j.Root = j.Root + "/none" }, "no such file"},
		"no source":         {func(j *sandbox.Job) { j.Work = "" }, "the source"},
		"source in image":   {func(j *sandbox.Job) { j.Work = j.Root + "/bin" }, "are in one another"},
		"image in source":   {func(j *sandbox.Job) { j.Work = filepath.Dir(j.Root) }, "are in one another"},
		"zero byte":         {func(j *sandbox.Job) { j.Command = []string{"a\x00b"} }, "zero byte"},
		"environment":       {func(j *sandbox.Job) { j.Env = []string{"nonsense"} }, "no NAME=value"},
		"negative limit":    {func(j *sandbox.Job) { j.Limits.Disk = -1 }, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.do(t, refusal.change, "exit")
			var exit *sandbox.ExitError
			if got.err == nil || errors.As(got.err, &exit) || !strings.Contains(got.err.Error(), refusal.want) {
				t.Errorf("%s\nwant an error with %q", got, refusal.want)
			}
		})
	}
}

// What a job leaves is the caller's, and can be read by it whatever its mode.
func (c *contract) files(t *testing.T) {
	got := c.do(t, nil, "modes")
	if got.err != nil {
		t.Fatal(got)
	}
	for _, name := range []string{"closed", "exe"} {
		info, err := os.Lstat(filepath.Join(got.job.Work, name))
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Getuid() || int(s.Gid) != os.Getgid() {
			t.Errorf("%s belongs to %d:%d", name, s.Uid, s.Gid)
		}
		if name == "exe" && info.Mode() != 0o755 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if err := os.Chmod(filepath.Join(got.job.Work, "closed"), 0o700); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(filepath.Join(got.job.Root, "bin/payload")); err != nil || info.Mode() != 0o755 {
		t.Errorf("the image changed: %v, %v", info, err)
	}
}

// A daemon that outlives the command, and holds its output open, is ended with it.
func (c *contract) daemon(t *testing.T) {
	got := c.do(t, nil, "daemon")
	if got.err != nil {
		t.Fatal(got)
	}
	beat := filepath.Join(got.job.Work, "beat")
	before, err := os.ReadFile(beat)
	time.Sleep(50 * time.Millisecond)
	after, err2 := os.ReadFile(beat)
	if err != nil || err2 != nil || string(before) != string(after) {
		t.Errorf("it still runs: %q, then %q, %v, %v", before, after, err, err2)
	}
}

// Each way out is tried, and refused for the reason it should be.
func (c *contract) attacks(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	abstract := "patchfit-" + filepath.Base(t.TempDir()) + strconv.Itoa(os.Getpid())
	socket, err := net.Listen("unix", "@"+abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	got := c.do(t, nil, "attack", "connect="+tcp.Addr().String(), "abstract="+abstract, "kill="+strconv.Itoa(os.Getpid()))
	if got.err != nil {
		t.Fatal(got)
	}
	said := map[string]string{}
	for line := range strings.Lines(got.out) {
		name, rest, _ := strings.Cut(line, " ")
		said[name] = rest
	}
	for name := range attacks {
		want, ok := refusals[name]
		if !ok {
			want = syscall.EPERM.Error()
		}
		if s := said[name]; !strings.HasPrefix(s, "refused: ") || !strings.Contains(s, want) {
			t.Errorf("%s: %swant it to be refused with %q", name, s, want)
		}
	}
	for name := range refusals {
		if attacks[name] == nil {
			t.Errorf("no attack %s", name)
		}
	}
}

const readOnly = "read-only file system"

// refusals are what attacks end with that do not end with EPERM.
var refusals = map[string]string{
	"write-root": readOnly, "write-image": readOnly, "change-image": readOnly, "write-dev": readOnly, "write-sys": readOnly, "own-sys": readOnly,
	"sysrq": "", "kcore": "", "keys": "masked", "interrupts": "masked",
	"connect": "connection refused", "abstract": "connection refused", "outside": "network is unreachable",
	"packet": "address family not supported", "vsock": "address family not supported",
	"first-mem": "permission denied", "first-root": "permission denied", "first-exe": "permission denied", "first-open": "permission denied",
	"see": "saw only its own", "kill": "no such process", "setuid": "",
	"setuid-at2": "not implemented", "setuid-open2": "not implemented", "clone3": "not implemented", "memfd": "not implemented", "shm": "not implemented",
	"up": "climbed nowhere",
}

// A job that uses too much is stopped, long before it is done, and the limit is named.
func (c *contract) limits(t *testing.T) {
	for name, much := range map[string]struct {
		limits sandbox.Limits
		want   string
	}{
		"spin":       {sandbox.Limits{CPU: 300 * time.Millisecond}, sandbox.LimitCPU},
		"spins":      {sandbox.Limits{CPU: 300 * time.Millisecond}, sandbox.LimitCPU},
		"sleep":      {sandbox.Limits{Wall: 300 * time.Millisecond}, sandbox.LimitWall},
		"shout":      {sandbox.Limits{Output: 1 << 20}, sandbox.LimitOutput},
		"hog":        {sandbox.Limits{Memory: 128 << 20}, sandbox.LimitMemory},
		"hogs":       {sandbox.Limits{Memory: 128 << 20}, sandbox.LimitMemory},
		"fill-tmp":   {sandbox.Limits{Memory: 128 << 20}, sandbox.LimitMemory},
		"fork":       {sandbox.Limits{Processes: 100}, sandbox.LimitProcesses},
		"thread":     {sandbox.Limits{Processes: 100}, sandbox.LimitProcesses},
		"fill":       {sandbox.Limits{Disk: 64 << 20}, sandbox.LimitDisk},
		"fill-many":  {sandbox.Limits{Disk: 64 << 20}, sandbox.LimitDisk},
		"fill-names": {sandbox.Limits{Disk: 4 << 20}, sandbox.LimitDisk},
		"sparse":     {sandbox.Limits{Disk: 64 << 20}, sandbox.LimitDisk},
		"held":       {sandbox.Limits{Disk: 64 << 20}, sandbox.LimitDisk},
		"hide":       {sandbox.Limits{Disk: 64 << 20}, sandbox.LimitDisk},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.do(t, func(j *sandbox.Job) { j.Limits = much.limits }, name)
			var limit *sandbox.LimitError
			if !errors.As(got.err, &limit) || limit.Limit != much.want || got.result == nil {
				t.Errorf("%s\nwant it to be stopped at its limit of %s", got, much.want)
			}
			if got.result != nil && got.result.Disk > 2<<30 && name != "sparse" {
				t.Errorf("it wrote %d MiB", got.result.Disk>>20)
			}
			_ = os.Chmod(filepath.Join(got.job.Work, "closed"), 0o700)
		})
	}
}

// A caller that gives up gets its own error, and nothing is left.
func (c *contract) stop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	go func() {
		_, _ = reader.Read(make([]byte, 1))
		cancel()
		_, _ = io.Copy(io.Discard, reader)
	}()
	j := &sandbox.Job{Root: c.image, Work: t.TempDir(), Command: []string{program, "shout"}, Env: sandbox.Environ(0), Stdout: writer}
	result, err := c.runner.Run(ctx, j)
	writer.Close()
	if !errors.Is(err, context.Canceled) || result == nil {
		t.Errorf("%v, %v", result, err)
	}
	j.Stdout = nil
	if result, err := c.runner.Run(ctx, j); !errors.Is(err, context.Canceled) {
		t.Errorf("given up before: %v, %v", result, err)
	}
}

// Every program that ran is told, with the names it has inside; also when
// children come and go, and when one program becomes another.
func (c *contract) watch(t *testing.T) {
	var got []sandbox.Exec
	went := c.do(t, func(j *sandbox.Job) {
		j.Watch = func(e sandbox.Exec) { got = append(got, e) }
		j.Dir = "sub"
		if err := os.Mkdir(filepath.Join(j.Work, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
	}, "run", "link exit", ",", "/bin/script arg", ",", "../../bin/payload chain /bin/link say x", ",", "/bin/payload burst 3", ",", "/bin/payload pause")
	if went.err != nil {
		t.Fatal(went)
	}
	const real, dir = "/bin/payload", "/build/sub"
	want := []sandbox.Exec{
		{Path: real, Real: real, Dir: dir, Argv: went.job.Command},
		{Path: "/bin/link", Real: real, Dir: dir, Argv: []string{"link", "exit"}},
		{Path: "/bin/script", Real: real, Dir: dir, Argv: []string{"/bin/payload", "exit", "/bin/script", "arg"}},
		{Path: real, Real: real, Dir: dir, Argv: []string{"../../bin/payload", "chain", "/bin/link", "say", "x"}},
		{Path: "/bin/link", Real: real, Dir: dir, Argv: []string{"/bin/link", "say", "x"}},
		{Path: real, Real: real, Dir: dir, Argv: []string{"/bin/payload", "burst", "3"}},
	}
	again := func(n int, what string) {
		want = append(want, slices.Repeat([]sandbox.Exec{{Path: real, Real: real, Dir: dir, Argv: []string{"/bin/payload", what}}}, n)...)
	}
	again(3, "exit")
	again(1, "pause")
	again(1, "sleep")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Jobs run beside each other, watched or not, and do not mix.
func (c *contract) several(t *testing.T) {
	type end struct {
		name string
		got  string
		runs int
		err  error
	}
	ends := make(chan end)
	for i := range 6 {
		work := t.TempDir()
		go func() {
			var out strings.Builder
			e := end{name: fmt.Sprint("job ", i)}
			j := &sandbox.Job{Root: c.image, Work: work, Command: []string{program, "say", e.name}, Env: sandbox.Environ(0), Stdout: &out}
			if i%2 == 0 {
				j.Watch = func(sandbox.Exec) { e.runs++ }
			}
			_, e.err = c.runner.Run(t.Context(), j)
			e.got = out.String()
			ends <- e
		}()
	}
	for range 6 {
		if e := <-ends; e.err != nil || e.got != e.name || e.runs > 1 {
			t.Errorf("%+v", e)
		}
	}
}
