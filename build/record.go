package build

import (
	"path"
	"regexp"
	"strings"
)

// A record is what a build did to files, told from its trace alone.
type record struct {
	source string // root of the source tree, without symbolic links

	inputs  []input // outside the source tree, in order of first use
	sources []input // inside it
	runs    []*run

	made    map[string]bool // by real path: the content is the build's own
	seen    map[string]bool // by the path asked for
	current map[int]*run
}

// An input is a file whose content the build read or ran.
type input struct {
	path string // as asked for: may pass symbolic links and ".."
	real string // "" for programs
}

// A run is one program that ran.
type run struct {
	path string
	args []string
	dir  string // working directory; "" where it is not known
	// opened are the files a linker opened, in order, once each; nil for
	// other programs. Those it made have made set.
	opened []opened
}

type opened struct {
	real string
	made bool
}

func newRecord(source string) *record {
	return &record{source: source, made: map[string]bool{}, seen: map[string]bool{}, current: map[int]*run{}}
}

func (r *record) add(e event) error {
	if e.exec {
		r.execute(e)
		return nil
	}
	if run := r.current[e.pid]; run != nil && isLinker(run.path) {
		run.opened = append(run.opened, opened{e.real, e.fresh})
	}
	if e.fresh {
		r.made[e.real] = true
	}
	if e.read && !r.made[e.real] {
		r.read(input{e.path, e.real}, e.real)
	}
	return nil
}

func (r *record) execute(e event) {
	n := &run{path: e.path, args: e.args}
	r.current[e.pid] = n
	r.runs = append(r.runs, n)
	if !r.made[path.Clean(e.path)] {
		r.read(input{path: e.path}, path.Clean(e.path))
	}
}

// read takes note of an input, once for every path it was asked for by.
func (r *record) read(in input, where string) {
	if r.seen[in.path] || pseudo(where) {
		return
	}
	r.seen[in.path] = true
	if within(r.source, where) {
		r.sources = append(r.sources, in)
	} else {
		r.inputs = append(r.inputs, in)
	}
}

// pseudo reports whether a path is the kernel's own: no file that an image
// could hold.
func pseudo(p string) bool {
	return within("/proc", p) || within("/sys", p) || within("/dev", p)
}

func within(dir, p string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// Programs of the toolchain by the base name of their files. What gcc runs on
// the way (cc1, collect2, lto-wrapper) is in the builder image with the rest.
var (
	driverName    = regexp.MustCompile(`^([a-z0-9_.+]+-)*(gcc|g\+\+|cc|c\+\+)(-[0-9.]+)?$`)
	assemblerName = regexp.MustCompile(`^([a-z0-9_.+]+-)*as$`)
	linkerName    = regexp.MustCompile(`^([a-z0-9_.+]+-)*ld(\.(bfd|gold|lld))?$|^(ld\.)?mold$`)
	properName    = regexp.MustCompile(`^cc1(plus)?$|^lto1$`)
	strangerName  = regexp.MustCompile(`^([a-z0-9_.+]+-)*(clang|clang\+\+|clang-cpp|tcc|icc|icx|icpx|nvcc|zig|rustc|go|gfortran|gnat1|f951|cc1obj|d21|ghc)(-[0-9.]+)?$`)
	cacheName     = regexp.MustCompile(`^(ccache|sccache|distcc|icecc|goma)$`)
)

func isLinker(p string) bool { return linkerName.MatchString(path.Base(p)) }
