package build

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// A capturer puts together what is known of one build that has run.
type capturer struct {
	command  []string
	request  *request
	base     *attest.Environment // nil: the build is no patch's
	config   string              // configuration file, in the world; "" for none
	world    world
	artifact string // absolute
	record   *record
	started  time.Time
	finished time.Time
	digests  map[string]attest.Digest // of files, by path without links
}

// A scene is what a build that was watched and one that was contained are told
// by in different ways.
type scene interface {
	// version returns what the program at a path without links says to --version.
	version(ctx context.Context, real string) (string, error)
	// linked returns the files that may be what the linker took libraries from.
	linked() ([]string, error)
	source() (attest.Digest, []string, error)
}

// describe puts the capture together.
func (c *capturer) describe(ctx context.Context, image attest.Digest, s scene) (*Capture, error) {
	facts, err := c.output()
	if err != nil {
		return nil, fmt.Errorf("reading the build's output: %w", err)
	}
	env, err := c.environment(ctx, image, facts, s)
	if err != nil {
		return nil, err
	}
	out := &Capture{
		SchemaVersion: CaptureVersion,
		Environment:   env,
		Command:       c.command,
		ExtraFlags:    []string{},
		Artifact:      Artifact{filepath.Base(c.artifact), facts.File.Digest, facts.File.Size, facts.BuildID},
		Started:       c.started,
		Finished:      c.finished,
		Invocations:   c.invocations(),
	}
	if c.base != nil {
		if out.ExtraFlags, err = hold(env, c.base); err != nil {
			return nil, err
		}
	}
	if out.EnvironmentDigest, err = env.Digest(); err != nil {
		return nil, fmt.Errorf("this environment cannot be recorded: %w", err)
	}
	if out.Programs, err = c.programs(); err != nil {
		return nil, err
	}
	out.Source, out.Sources, err = s.source()
	return out, err
}

// hold makes env, in which a patch was built, the environment of its base, or
// tells why it is another. The patch may have options that change no code, and
// it may need fewer libraries; those it needs have to be the base's.
func hold(env, base *attest.Environment) (extra []string, err error) {
	env.Flags, extra = splitExtras(env.Flags, base.Flags)
	for _, l := range base.Libraries {
		if !slices.ContainsFunc(env.Libraries, func(m attest.Library) bool { return m.Soname == l.Soname }) {
			env.Libraries = append(env.Libraries, l)
		}
	}
	sortLibraries(env.Libraries)
	if d := base.Diff(env); len(d) > 0 {
		return nil, &MismatchError{d}
	}
	return append([]string{}, extra...), nil
}

// output reads the linked file, wherever links lead to it.
func (c *capturer) output() (*Facts, error) {
	real, err := c.world.real(c.artifact)
	if err != nil {
		return nil, err
	}
	c.artifact = real
	return ReadELF(c.world.file(real))
}

// digest returns the digest of a file, read once.
func (c *capturer) digest(real string) (attest.Digest, error) {
	if d, ok := c.digests[real]; ok {
		return d, nil
	}
	d, err := digestFile(c.world.file(real))
	if err != nil {
		return "", err
	}
	if c.digests == nil {
		c.digests = map[string]attest.Digest{}
	}
	c.digests[real] = d
	return d, nil
}

func (c *capturer) environment(ctx context.Context, image attest.Digest, facts *Facts, s scene) (*attest.Environment, error) {
	tools, err := identify(c.record.runs, c.world.real)
	if err != nil {
		return nil, err
	}
	env := &attest.Environment{
		BuilderImage:  image,
		Flags:         c.request.flags,
		MakeVariables: append([]attest.Variable{}, c.request.variables...),
		Configuration: attest.DigestOf(nil),
		Target:        facts.Target,
	}
	for to, t := range map[*attest.Tool]*tool{&env.Compiler: tools.compiler, &env.Assembler: tools.assembler, &env.Linker: tools.linker} {
		if *to, err = t.describe(ctx, s, c.digest); err != nil {
			return nil, err
		}
	}
	if c.config != "" {
		if env.Configuration, err = c.configuration(); err != nil {
			return nil, fmt.Errorf("reading the configuration: %w", err)
		}
	}
	files, err := s.linked()
	if err != nil {
		return nil, err
	}
	env.Libraries, err = libraries(facts, files, c.world)
	return env, err
}

func (c *capturer) configuration() (attest.Digest, error) {
	real, err := c.world.real(c.config)
	if err != nil {
		return "", err
	}
	return c.digest(real)
}

// invocations returns the arguments of every compiler driver that ran.
func (c *capturer) invocations() [][]string {
	list := [][]string{}
	for _, r := range c.record.runs {
		if driverName.MatchString(filepath.Base(r.path)) {
			list = append(list, append([]string{}, r.args...))
		}
	}
	return list
}

// programs returns the files of all programs that ran, once each, by path.
func (c *capturer) programs() ([]Program, error) {
	list := []Program{}
	for _, r := range c.record.runs {
		real, err := c.world.real(r.path)
		if err != nil {
			return nil, fmt.Errorf("a program that ran is gone: %w", err)
		}
		d, err := c.digest(real)
		if err != nil {
			return nil, err
		}
		list = append(list, Program{real, d})
	}
	slices.SortFunc(list, func(a, b Program) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(list), nil
}
