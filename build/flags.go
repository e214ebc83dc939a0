package build

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

// A request is what the command line of a build asks for.
type request struct {
	flags     []string
	variables []attest.Variable
	output    string // -o of a compiler; "" where the command does not say
}

// artifact returns the linked output, which a build in dir makes.
func (r *request) artifact(dir string) (string, error) {
	switch {
	case r.output == "":
		return "", errors.New("the command does not say what its output is: name it")
	case path.IsAbs(r.output):
		return r.output, nil
	}
	return path.Join(dir, r.output), nil
}

// ErrCommand is wrapped by errors about commands whose flags cannot be told.
var ErrCommand = errors.New("only gcc, and make that runs gcc, can be captured")

// readRequest takes a command apart: the requested flags in order are
// everything that is not the program, an input file or the output. Only
// commands whose flags can be told are taken: a compiler driver and make.
func readRequest(command []string) (*request, error) {
	if len(command) == 0 {
		return nil, errors.New("no command to run")
	}
	name := path.Base(command[0])
	switch {
	case strangerName.MatchString(name):
		return nil, fmt.Errorf("%s is another compiler: %w", name, ErrCommand)
	case name == "make" || name == "gmake":
		return readMake(command[1:])
	case driverName.MatchString(name):
		return readDriver(command[1:])
	}
	return nil, fmt.Errorf("the flags of %q cannot be told: %w", name, ErrCommand)
}

// separate are gcc's options that take the next argument as their value
// (gcc manual, Option Summary).
var separate = []string{
	"-A", "-B", "-D", "-I", "-L", "-T", "-U", "-Xassembler", "-Xlinker", "-Xpreprocessor", "-aux-info", "-dumpbase",
	"-dumpbase-ext", "-dumpdir", "-e", "-idirafter", "-imacros", "-imultilib", "-include", "-iplugindir", "-iprefix",
	"-iquote", "-isysroot", "-isystem", "-iwithprefix", "-iwithprefixbefore", "-l", "-u", "-x", "-z", "--param", "-wrapper",
}

// dependencies are options that only say where to write a list of files.
var dependencies = []string{"-MF", "-MT", "-MQ"}

func readDriver(args []string) (*request, error) {
	r := &request{flags: []string{}, output: "a.out"}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case strings.HasPrefix(a, "@"):
			return nil, fmt.Errorf("argument %s hides flags in a file: write them out", a)
		case a == "-wrapper" || strings.HasPrefix(a, "-wrapper="):
			return nil, errors.New("-wrapper runs the compiler through another program: leave it out")
		case a == "-o" || slices.Contains(separate, a) || slices.Contains(dependencies, a):
			if i++; i == len(args) {
				return nil, fmt.Errorf("%s lacks its value", a)
			}
			r.take(a, args[i])
		case strings.HasPrefix(a, "-o") && len(a) > len("-o"):
			r.output = a[len("-o"):]
		case strings.HasPrefix(a, "-") && a != "-":
			r.flags = append(r.flags, a)
		}
	}
	return r, nil
}

// take adds an option with its value, where it is one that counts.
func (r *request) take(option, value string) {
	switch {
	case option == "-o":
		r.output = value
	case !slices.Contains(dependencies, option):
		r.flags = append(r.flags, option, value)
	}
}

// separateMake are make's options that take the next argument as their value.
var separateMake = []string{"-C", "-E", "-I", "-W", "-f", "-o", "--directory", "--eval", "--file", "--include-dir", "--makefile", "--new-file", "--old-file", "--what-if", "--assume-new", "--assume-old"}

func readMake(args []string) (*request, error) {
	r := &request{flags: []string{}, variables: []attest.Variable{}}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case slices.Contains(separateMake, a):
			if i++; i == len(args) {
				return nil, fmt.Errorf("%s lacks its value", a)
			}
			r.flags = append(r.flags, a, args[i])
		case parallel(a):
			if (a == "-j" || a == "-l") && i+1 < len(args) && strings.Trim(args[i+1], "0123456789.") == "" {
				i++
			}
		case strings.HasPrefix(a, "-"):
			r.flags = append(r.flags, a)
		default:
			r.assign(a)
		}
	}
	return r, nil
}

// parallel reports whether an option of make only says how many jobs run at
// once, which changes no byte of a build.
func parallel(a string) bool {
	rest, ok := strings.CutPrefix(a, "-j")
	if !ok {
		rest, ok = strings.CutPrefix(a, "-l")
	}
	return ok && strings.Trim(rest, "0123456789.") == "" || strings.HasPrefix(a, "--jobs") || strings.HasPrefix(a, "--load-average")
}

// assign takes a make variable; another word is a target, which names an
// output and is no flag.
func (r *request) assign(word string) {
	name, value, ok := strings.Cut(word, "=")
	if !ok || name == "" {
		return
	}
	r.variables = append(r.variables, attest.Variable{Name: name, Value: value})
}

// extras are the options a patch's build may have besides its base's: where
// files lie and how their paths are written down. They change no code.
var extras = []string{"-I", "-iquote", "-isystem", "-idirafter", "-ffile-prefix-map=", "-fdebug-prefix-map=", "-fmacro-prefix-map="}

// splitExtras returns flags without those a patch may have besides want, its
// base's flags, and the ones left out.
func splitExtras(flags, want []string) (kept, extra []string) {
	kept = []string{}
	for i := 0; i < len(flags); i++ {
		n := 1
		if slices.Contains(separate, flags[i]) && i+1 < len(flags) {
			n = 2
		}
		flag := flags[i : i+n]
		i += n - 1
		if allowedExtra(flag[0]) && !containsRun(want, flag) {
			extra = append(extra, flag...)
		} else {
			kept = append(kept, flag...)
		}
	}
	return kept, extra
}

func allowedExtra(flag string) bool {
	return slices.ContainsFunc(extras, func(e string) bool { return strings.HasPrefix(flag, e) })
}

// containsRun reports whether part stands in list, one after another.
func containsRun(list, part []string) bool {
	for i := 0; i+len(part) <= len(list); i++ {
		if slices.Equal(list[i:i+len(part)], part) {
			return true
		}
	}
	return false
}
