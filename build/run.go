package build

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// ErrNoTracer is wrapped where strace is not installed or may not trace.
var ErrNoTracer = errors.New("builds cannot be watched")

// A Request is one build to run and capture.
type Request struct {
	Command  []string // gcc … or make …
	Dir      string   // working directory; "" is the current one
	Source   string   // root of the source tree; "" is Dir
	Artifact string   // the linked output; "" is what the compiler's -o says
	Config   string   // configuration file the build was made from; "" for none
	Pack     string   // make a builder image in this directory …
	Include  []string // … with these files and trees besides
	Builder  string   // … or hold the build to the one in this directory
	// Base is the environment of the base that a patch is for: the patch's
	// build has to be alike but for the options that change no code.
	Base   *attest.Environment
	Stdout io.Writer // of the command
	Stderr io.Writer
}

// A MismatchError is a patch's build that is not alike its base's.
type MismatchError struct {
	Differences []attest.Difference // want is the base's
}

func (e *MismatchError) Error() string {
	d := e.Differences[0]
	more := ""
	if n := len(e.Differences) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Sprintf("built in another environment than the base: %s is %s, the base's is %s%s", d.Field, d.Got, d.Want, more)
}

// Run runs a build under strace and returns what it did and in which
// environment.
func Run(ctx context.Context, r *Request) (*Capture, error) {
	c, err := newWatched(r)
	if err != nil {
		return nil, err
	}
	if err := c.build(ctx); err != nil {
		return nil, err
	}
	if err := c.place(); err != nil {
		return nil, err
	}
	image, err := c.builderImage()
	if err != nil {
		return nil, err
	}
	return c.describe(ctx, image, c)
}

// A watched build runs on this machine as it is, under strace.
type watched struct {
	*Request
	*capturer
	dir string
}

func newWatched(r *Request) (*watched, error) {
	req, err := readRequest(r.Command)
	if err != nil {
		return nil, err
	}
	if (r.Pack == "") == (r.Builder == "") {
		return nil, errors.New("a capture needs a builder image: either make one or name the one to hold the build to")
	}
	c := &watched{Request: r, capturer: &capturer{command: r.Command, request: req, base: r.Base, config: r.Config, world: here}}
	if c.dir, err = filepath.Abs(r.Dir); err != nil {
		return nil, err
	}
	source := c.dir
	if r.Source != "" {
		if source, err = filepath.Abs(r.Source); err != nil {
			return nil, err
		}
	}
	if source, _, err = resolve(source); err != nil {
		return nil, fmt.Errorf("finding the source tree: %w", err)
	}
	if source == "/" {
		return nil, errors.New("the source tree is /: name its directory, or nothing is outside it")
	}
	c.record = newRecord(source)
	if r.Artifact != "" {
		c.artifact, err = filepath.Abs(r.Artifact)
	} else {
		c.artifact, err = req.artifact(c.dir)
	}
	return c, err
}

// passed are the variables of whoever runs a capture that its build gets too.
// Others could be flags that nobody recorded, as CFLAGS, CPATH or MAKEFLAGS.
var passed = []string{"PATH", "HOME", "TMPDIR", "SOURCE_DATE_EPOCH"}

func environ() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// build runs the command under strace and reads the record it leaves.
func (c *watched) build(ctx context.Context) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return fmt.Errorf("%w: strace is not installed", ErrNoTracer)
	}
	temp, err := os.MkdirTemp("", "patchfit-trace-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	trace := filepath.Join(temp, "trace")
	args := slices.Concat(traceArgs, []string{"-o", trace, "--"}, c.Command)
	cmd := exec.CommandContext(ctx, strace, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, environ(), c.Stdout, c.Stderr
	stopTogether(cmd)
	c.started = time.Now().UTC().Truncate(time.Second)
	runErr := cmd.Run()
	c.finished = time.Now().UTC().Truncate(time.Second)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f, err := os.Open(trace)
	if err != nil {
		return fmt.Errorf("%w: strace left no record", ErrNoTracer)
	}
	defer f.Close()
	if runErr != nil {
		return failed(f, c.Command, runErr)
	}
	return parseTrace(f, c.record.add)
}

const stopGrace = 5 * time.Second

// stopTogether makes cmd's context end the whole build, not only its tracer.
func stopTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
}

// failed tells a build that failed from a tracer that may not trace.
func failed(trace *os.File, command []string, err error) error {
	if info, statErr := trace.Stat(); statErr != nil || info.Size() == 0 {
		return fmt.Errorf("%w: strace could not run %s (it needs the right to trace): %w", ErrNoTracer, command[0], err)
	}
	return fmt.Errorf("the build failed: %s: %w", strings.Join(command, " "), err)
}

// place moves inputs that links lead into the source tree to the sources, and
// drops what the build made itself.
func (c *watched) place() error {
	var outside []input
	for _, in := range c.record.inputs {
		real, _, err := resolve(in.path)
		if err != nil {
			return fmt.Errorf("the build used a file that is gone: %w", err)
		}
		switch {
		case c.record.made[real]:
		case within(c.record.source, real):
			c.record.sources = append(c.record.sources, input{in.path, real})
		default:
			outside = append(outside, in)
		}
	}
	c.record.inputs = outside
	return nil
}

// builderImage makes the builder image, or holds the build to the one given.
func (c *watched) builderImage() (attest.Digest, error) {
	paths := make([]string, len(c.record.inputs))
	for i, in := range c.record.inputs {
		paths[i] = in.path
	}
	if c.Pack != "" {
		extra, err := expand(c.Include)
		if err != nil {
			return "", err
		}
		l, err := Pack(c.Pack, runtime.GOARCH, append(paths, extra...))
		if err != nil {
			return "", err
		}
		return l.Digest, nil
	}
	l, err := OpenLayout(c.Builder)
	if err != nil {
		return "", err
	}
	m, err := l.read()
	if err != nil {
		return "", err
	}
	return l.Digest, m.check(paths, c.digest)
}

// expand returns the files below each of paths.
func expand(paths []string) ([]string, error) {
	var all []string
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		real, _, err := resolve(abs)
		if err != nil {
			return nil, err
		}
		all = append(all, abs)
		err = filepath.WalkDir(real, func(name string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// linked returns the files opened by the linker that made the artifact; by all
// linkers where a later step made it from what they linked.
func (c *watched) linked() ([]string, error) {
	var all []opened
	for _, r := range slices.Backward(c.record.runs) {
		if slices.Contains(r.opened, opened{c.artifact, true}) {
			return afterwards(r.opened), nil
		}
		all = append(all, r.opened...)
	}
	return afterwards(all), nil
}

// version runs the tool.
func (c *watched) version(ctx context.Context, real string) (string, error) {
	cmd := exec.CommandContext(ctx, real, "--version")
	cmd.Env = []string{"LC_ALL=C"}
	out, err := cmd.Output()
	return string(out), err
}

// source returns the digest of what the build read in its source tree: of the
// file where it is one, else of a tar of all, sorted, without times and owners.
func (c *watched) source() (attest.Digest, []string, error) {
	files := map[string]entry{}
	for _, in := range c.record.sources {
		real, e, err := resolve(in.path)
		if err != nil {
			return "", nil, fmt.Errorf("the build used a source file that is gone: %w", err)
		}
		if !e.mode.IsRegular() || real == c.artifact {
			continue
		}
		if err := fromSource(real); err != nil {
			return "", nil, err
		}
		files[strings.TrimPrefix(strings.TrimPrefix(real, c.record.source), "/")] = e
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return "", nil, fmt.Errorf("the build read nothing in its source tree %s: name the right one", c.record.source)
	case 1:
		d, err := c.digest(filepath.Join(c.record.source, names[0]))
		return d, names, err
	}
	sum := sha256.New()
	err := writeTar(sum, c.record.source, files)
	return attest.DigestFromSum(sum.Sum(nil)), names, err
}

// fromSource refuses objects that an earlier build compiled: nobody knows with
// which flags.
func fromSource(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return nil // no ELF file: a source like any other
	}
	defer f.Close()
	if f.Type == elf.ET_REL {
		return fmt.Errorf("the build used %s, which an earlier one compiled: start from a clean tree", path)
	}
	return nil
}
