package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/source"
)

// DefaultEpoch is SOURCE_DATE_EPOCH where nothing else is said: the first day
// that every archive format can write, 1980-01-01.
const DefaultEpoch = 315532800

// A Job is one build to run in its builder image and to capture from inside.
// Paths of the build are those inside: relative ones are below /build.
type Job struct {
	Image   attest.Digest // manifest digest of the builder image
	Root    string        // directory it is unpacked in
	Source  *source.Tree
	Command []string // gcc … or make …
	Dir     string   // working directory; "" is /build
	// Artifact is the linked output; "" is what the compiler's -o says.
	Artifact string
	Outputs  []string // patterns of other files to collect (path.Match), below /build
	Config   string   // configuration file the build is made from; "" for none
	Epoch    int64    // SOURCE_DATE_EPOCH
	// Base is the environment of the base that a patch is for.
	Base    *attest.Environment
	Runner  sandbox.Runner
	Limits  sandbox.Limits
	Scratch string    // directory for the build's tree: a disk
	Stdout  io.Writer // of the command
	Stderr  io.Writer
}

// Contain runs a build in the sandbox and captures it. The artifact and the
// other outputs are below to, by their paths below /build; to is made, and must
// not be there yet.
func Contain(ctx context.Context, j *Job, to string) (*Capture, error) {
	c, err := newContained(j)
	if err != nil {
		return nil, err
	}
	defer c.clear()
	if err := c.unpack(ctx); err != nil {
		return nil, err
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	if err := c.made(); err != nil {
		return nil, err
	}
	out, err := c.describe(ctx, j.Image, c)
	if err != nil {
		return nil, err
	}
	if err := c.testify(out); err != nil {
		return nil, err
	}
	out.Contained, out.Recipe, out.Commit = true, c.recipe(), j.Source.Commit
	out.Outputs, err = c.collect(to)
	return out, err
}

// A contained build runs in its builder image.
type contained struct {
	*Job
	*capturer
	work   string        // that is /build
	wd     string        // working directory, inside
	before attest.Digest // of the configuration, before the build; "" where there was none
}

func newContained(j *Job) (*contained, error) {
	req, err := readRequest(j.Command)
	if err != nil {
		return nil, err
	}
	c := &contained{Job: j, wd: below(sandbox.Build, j.Dir)}
	for _, pattern := range j.Outputs {
		if _, err := path.Match(pattern, ""); err != nil || path.IsAbs(pattern) {
			return nil, fmt.Errorf("output %q is no pattern of paths below %s", pattern, sandbox.Build)
		}
	}
	artifact := ""
	if j.Artifact != "" {
		artifact = below(c.wd, j.Artifact)
	} else if artifact, err = req.artifact(c.wd); err != nil {
		return nil, err
	}
	for what, p := range map[string]string{"working directory": c.wd, "output": artifact} {
		if !within(sandbox.Build, path.Clean(p)) {
			return nil, fmt.Errorf("%s %s is outside of %s, where the source is", what, p, sandbox.Build)
		}
	}
	config := ""
	if j.Config != "" {
		config = below(c.wd, j.Config)
	}
	if c.work, err = os.MkdirTemp(j.Scratch, "build-"); err != nil {
		return nil, err
	}
	c.capturer = &capturer{
		command: j.Command, request: req, base: j.Base, config: config, artifact: path.Clean(artifact),
		world: inside(j.Root, sandbox.Build, c.work), record: newRecord(sandbox.Build),
	}
	return c, nil
}

// below is p, below dir where it is relative.
func below(dir, p string) string {
	if path.IsAbs(p) {
		return p
	}
	return path.Join(dir, p)
}

// clear removes the build's tree, also directories that it took the rights off.
func (c *contained) clear() {
	_ = filepath.WalkDir(c.work, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(c.work)
}

func (c *contained) unpack(ctx context.Context) error {
	f, err := os.Open(c.Source.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := source.Unpack(ctx, f, c.work, time.Unix(c.Epoch, 0)); err != nil {
		return err
	}
	if c.config == "" {
		return nil
	}
	real, err := c.world.real(c.config)
	if err == nil {
		c.before, err = digestFile(c.world.file(real))
	}
	if errors.Is(err, fs.ErrNotExist) { // the build makes it
		return nil
	}
	return err
}

func (c *contained) run(ctx context.Context) error {
	job := &sandbox.Job{
		Root: c.Root, Work: c.work, Dir: strings.TrimPrefix(strings.TrimPrefix(c.wd, sandbox.Build), "/"),
		Command: c.Command, Env: sandbox.Environ(c.Epoch), Limits: c.Limits, Stdout: c.Job.Stdout, Stderr: c.Job.Stderr,
		Watch: func(e sandbox.Exec) {
			c.record.runs = append(c.record.runs, &run{path: e.Path, args: slices.Clone(e.Argv), dir: e.Dir})
		},
	}
	c.started = time.Now().UTC().Truncate(time.Second)
	_, err := c.Runner.Run(ctx, job)
	c.finished = time.Now().UTC().Truncate(time.Second)
	return err
}

// made looks for the artifact where the build was said to leave it.
func (c *contained) made() error {
	real, err := c.world.real(c.artifact)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the build made no %s: name its linked output", c.artifact)
	}
	if err == nil && !within(sandbox.Build, real) {
		return fmt.Errorf("the output %s leads to %s, which no build made", c.artifact, real)
	}
	return err
}

// version asks a program of the builder image, inside.
func (c *contained) version(ctx context.Context, real string) (string, error) {
	empty, err := os.MkdirTemp(c.Scratch, "ask-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(empty)
	var said bytes.Buffer
	_, err = c.Runner.Run(ctx, &sandbox.Job{
		Root: c.Root, Work: empty, Command: []string{real, "--version"}, Env: sandbox.Environ(c.Epoch),
		Limits: sandbox.Limits{Output: 64 << 10}, Stdout: &said,
	})
	return said.String(), err
}

// source is the archive the build started from, all of it.
func (c *contained) source() (attest.Digest, []string, error) {
	return c.Source.Digest, []string{}, nil
}

// testify holds what the build was said to be against what it left behind.
func (c *contained) testify(out *Capture) error {
	if c.before != "" && c.before != out.Environment.Configuration {
		return fmt.Errorf("the build changed its configuration %s: it began with %s and ended with %s; begin with what it makes of it",
			c.config, c.before, out.Environment.Configuration)
	}
	w, err := readWitness(c.world.file(c.artifact))
	if err != nil {
		return err
	}
	out.Recorded, out.BTF = w.recorded, w.btf
	return w.contradict(out.Environment, c.record.runs)
}
