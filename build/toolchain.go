package build

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// A Program is one file that ran, without symbolic links.
type Program struct {
	Path   string        `json:"path"`
	Digest attest.Digest `json:"digest"`
}

// A toolchain is the one compiler driver, assembler and linker of a build.
type toolchain struct {
	compiler, assembler, linker *tool
	proper                      bool // the compiler proper ran, not only its driver
}

type tool struct {
	name string // what a person calls it: gcc, as, ld
	real string
}

// kinds of programs, by the names of the file asked for and the file it leads
// to.
type kind int

const (
	kindOther kind = iota
	kindCompiler
	kindAssembler
	kindLinker
	kindProper
	kindStranger
	kindCache
)

func classify(asked, real string) kind {
	a, r := path.Base(asked), path.Base(real)
	switch {
	case strangerName.MatchString(a) || strangerName.MatchString(r):
		return kindStranger
	case cacheName.MatchString(a) || cacheName.MatchString(r):
		return kindCache
	case driverName.MatchString(a) && driverName.MatchString(r):
		return kindCompiler
	case properName.MatchString(r):
		return kindProper
	case assemblerName.MatchString(a):
		return kindAssembler
	case linkerName.MatchString(a):
		return kindLinker
	}
	return kindOther
}

// identify finds the toolchain among the programs that ran. real tells where a
// path leads to.
func identify(runs []*run, real func(string) (string, error)) (*toolchain, error) {
	t := &toolchain{}
	for _, r := range runs {
		file, err := real(r.path)
		if err != nil {
			return nil, fmt.Errorf("a program that ran is gone: %w", err)
		}
		if err := t.add(classify(r.path, file), r.path, file); err != nil {
			return nil, err
		}
	}
	switch {
	case t.compiler == nil || !t.proper:
		return nil, fmt.Errorf("no compiler ran: start from a clean tree, so that everything is compiled")
	case t.assembler == nil:
		return nil, fmt.Errorf("no assembler ran: start from a clean tree, so that everything is compiled")
	case t.linker == nil:
		return nil, fmt.Errorf("no linker ran: the build has to go as far as its linked output")
	}
	return t, nil
}

func (t *toolchain) add(k kind, asked, real string) error {
	switch k {
	case kindStranger:
		return fmt.Errorf("the build ran %s, another compiler: %w", asked, ErrCommand)
	case kindCache:
		return fmt.Errorf("the build ran %s, which hands out what other builds compiled: switch it off", asked)
	case kindProper:
		t.proper = true
	case kindCompiler:
		return choosePath(&t.compiler, "compilers", driverFamily(real), real)
	case kindAssembler:
		return choosePath(&t.assembler, "assemblers", "as", real)
	case kindLinker:
		return choosePath(&t.linker, "linkers", "ld", real)
	}
	return nil
}

func choosePath(to **tool, what, name, real string) error {
	if *to == nil {
		*to = &tool{name: name, real: real}
	}
	if (*to).real != real {
		return fmt.Errorf("two %s ran, %s and %s: an environment has one", what, (*to).real, real)
	}
	return nil
}

func driverFamily(real string) string {
	if strings.Contains(path.Base(real), "++") {
		return "g++"
	}
	return "gcc"
}

const versionTimeout = 10 * time.Second

// describe asks a tool for its version and hashes its file.
func (t *tool) describe(ctx context.Context, s scene, digest func(string) (attest.Digest, error)) (attest.Tool, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := s.version(ctx, t.real)
	if err != nil {
		return attest.Tool{}, fmt.Errorf("asking %s for its version: %w", t.real, err)
	}
	line, rest, _ := strings.Cut(out, "\n")
	if t.name == "gcc" || t.name == "g++" {
		if !strings.Contains(rest, "Free Software Foundation") {
			return attest.Tool{}, fmt.Errorf("%s is not gcc: it says it is %q", t.real, line)
		}
		if _, said, ok := strings.Cut(line, " "); ok { // it says first the name it was called by
			line = t.name + " " + said
		}
	}
	d, err := digest(t.real)
	return attest.Tool{Name: t.name, Version: strings.TrimSpace(line), Digest: d}, err
}
