package build

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

// describe puts the capture together once the build has run.
func (c *capturer) describe(ctx context.Context, image attest.Digest) (*Capture, error) {
	facts, err := c.output()
	if err != nil {
		return nil, fmt.Errorf("reading the build's output: %w", err)
	}
	env, err := c.environment(ctx, image, facts)
	if err != nil {
		return nil, err
	}
	out := &Capture{
		SchemaVersion: CaptureVersion,
		Environment:   env,
		Command:       c.Command,
		ExtraFlags:    []string{},
		Artifact:      Artifact{filepath.Base(c.artifact), facts.File.Digest, facts.File.Size, facts.BuildID},
		Started:       c.started,
		Finished:      c.finished,
		Invocations:   c.invocations(),
	}
	if c.Base != nil {
		if out.ExtraFlags, err = hold(env, c.Base); err != nil {
			return nil, err
		}
	}
	if out.EnvironmentDigest, err = env.Digest(); err != nil {
		return nil, fmt.Errorf("this environment cannot be recorded: %w", err)
	}
	if out.Programs, err = c.programs(); err != nil {
		return nil, err
	}
	out.Source, out.Sources, err = c.source()
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
	real, _, err := resolve(c.artifact)
	if err != nil {
		return nil, err
	}
	c.artifact = real
	return ReadELF(real)
}

func (c *capturer) environment(ctx context.Context, image attest.Digest, facts *Facts) (*attest.Environment, error) {
	tools, err := identify(c.record.runs, realPath)
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
		if *to, err = t.describe(ctx, c.digest); err != nil {
			return nil, err
		}
	}
	if c.Config != "" {
		if env.Configuration, err = digestFile(c.Config); err != nil {
			return nil, fmt.Errorf("reading the configuration: %w", err)
		}
	}
	env.Libraries, err = libraries(facts, c.linkerOpens())
	return env, err
}

func realPath(p string) (string, error) {
	real, _, err := resolve(p)
	return real, err
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
		real, err := realPath(r.path)
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

// source returns the digest of what the build read in its source tree: of the
// file where it is one, else of a tar of all, sorted, without times and owners.
func (c *capturer) source() (attest.Digest, []string, error) {
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
