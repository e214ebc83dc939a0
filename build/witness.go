package build

import (
	"bytes"
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

// A witness is what a linked output itself says of its build.
type witness struct {
	recorded  []Recorded    // by the compiler, sorted
	compilers []string      // lines of .comment
	btf       attest.Digest // of .BTF; "" where there is none
}

const (
	maxUnits     = 1 << 20
	maxProducers = 4096     // different ones
	maxSection   = 64 << 20 // of .comment and .GCC.command.line
)

// readWitness reads the linked output at path on this machine.
func readWitness(path string) (*witness, error) {
	b, err := readWhole(path, maxELF)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("not a readable ELF file: %w", err)
	}
	w := &witness{}
	units := map[string]int{}
	if err := w.sections(f, units); err != nil {
		return nil, err
	}
	// DWARF that cannot be read bears no witness; the file is what it is.
	if d, err := f.DWARF(); err == nil {
		producers(d, units)
	}
	for p, n := range units {
		w.recorded = append(w.recorded, Recorded{p, n})
	}
	slices.SortFunc(w.recorded, func(a, b Recorded) int { return cmp.Compare(a.Producer, b.Producer) })
	return w, nil
}

func (w *witness) sections(f *elf.File, units map[string]int) error {
	for _, s := range f.Sections {
		switch s.Name {
		case ".comment", ".GCC.command.line", ".BTF":
		default:
			continue
		}
		if s.Type == elf.SHT_NOBITS || s.Size > maxSection {
			continue
		}
		b, err := s.Data()
		if err != nil {
			return fmt.Errorf("reading section %s: %w", s.Name, err)
		}
		switch s.Name {
		case ".BTF":
			w.btf = attest.DigestOf(b)
		case ".comment":
			w.compilers = append(w.compilers, texts(b)...)
		default:
			for _, line := range texts(b) {
				count(units, line)
			}
		}
	}
	return nil
}

// texts are the texts of a section that ends each with a zero byte.
func texts(b []byte) []string {
	var list []string
	for t := range bytes.SplitSeq(b, []byte{0}) {
		if len(t) > 0 && !slices.Contains(list, string(t)) {
			list = append(list, string(t))
		}
		if len(list) == maxProducers {
			break
		}
	}
	return list
}

func count(units map[string]int, producer string) {
	if _, ok := units[producer]; ok || len(units) < maxProducers {
		units[producer]++
	}
}

// producers counts what each compilation unit says of its compiler.
func producers(d *dwarf.Data, units map[string]int) {
	r := d.Reader()
	for range maxUnits {
		e, err := r.Next()
		if err != nil || e == nil {
			return
		}
		if e.Tag == dwarf.TagCompileUnit {
			if p, ok := e.Val(dwarf.AttrProducer).(string); ok {
				count(units, p)
			}
		}
		r.SkipChildren()
	}
}

// A ContradictionError is an output that says of its build something else than
// was declared, or than was seen.
type ContradictionError struct {
	What     string // "compiler", "flag"
	Declared string
	Found    string
}

func (e *ContradictionError) Error() string {
	return fmt.Sprintf("the output contradicts what its build was: %s: declared %s, found %s", e.What, e.Declared, e.Found)
}

// contradict holds the environment and the programs that ran against what the
// output says.
func (w *witness) contradict(env *attest.Environment, runs []*run) error {
	if err := w.sameCompiler(env.Compiler.Version); err != nil {
		return err
	}
	told := toldCompilers(runs)
	for _, r := range w.recorded {
		lang, version, flags := splitProducer(r.Producer)
		if lang == "" {
			continue // no compilation of gcc's: an assembler's, another language's
		}
		if want := lastWord(env.Compiler.Version); version != want {
			return &ContradictionError{"compiler", env.Compiler.Version, r.Producer}
		}
		for _, f := range flags {
			if code(f) && !told[f] {
				return &ContradictionError{"flag", "no " + f + " to any compiler that ran", r.Producer}
			}
		}
	}
	return w.requested(env)
}

// sameCompiler looks for the compiler among those that the parts of the output
// were made with: some come compiled in the builder image.
func (w *witness) sameCompiler(version string) error {
	_, rest, _ := strings.Cut(version, " ")
	var others []string
	for _, c := range w.compilers {
		said, ok := strings.CutPrefix(c, "GCC: ")
		if ok && said == rest {
			return nil
		}
		if ok {
			others = append(others, c)
		}
	}
	if len(others) > 0 {
		return &ContradictionError{"compiler", version, strings.Join(others, ", ")}
	}
	return nil
}

// toldCompilers are all arguments of every compiler proper that ran: gcc writes
// down what those are told, with what its driver adds.
func toldCompilers(runs []*run) map[string]bool {
	told := map[string]bool{}
	for _, r := range runs {
		if !properName.MatchString(lastElement(r.path)) {
			continue
		}
		for _, a := range r.args {
			told[a] = true
		}
	}
	return told
}

func lastElement(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

func lastWord(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }

var producer = regexp.MustCompile(`^GNU (C|C\+\+)[0-9]* ([0-9][0-9.]*)`)

// splitProducer takes DW_AT_producer apart; lang is "" where it is not gcc's of
// C or C++.
func splitProducer(s string) (lang, version string, flags []string) {
	m := producer.FindStringSubmatch(s)
	if m == nil {
		return "", "", nil
	}
	return m[1], m[2], strings.Fields(s[len(m[0]):])
}

// code reports whether a flag says how code is made. Others may be written down
// in another way than they were given.
func code(flag string) bool {
	return strings.HasPrefix(flag, "-f") || strings.HasPrefix(flag, "-m") || strings.HasPrefix(flag, "-O")
}

// requested looks for the requested flags of which there is one at a time, as
// -O2 or -march=x86-64, in what the compiler wrote down.
func (w *witness) requested(env *attest.Environment) error {
	units := 0
	recorded := map[string]bool{}
	for _, r := range w.recorded {
		if lang, _, flags := splitProducer(r.Producer); lang != "" {
			units++
			for _, f := range flags {
				recorded[f] = true
			}
		}
	}
	if units == 0 {
		return nil
	}
	for _, f := range lastOfEach(askedFor(env)) {
		if f != "-O0" && !recorded[f] {
			return &ContradictionError{"flag", f, "no part of the output that was compiled with it"}
		}
	}
	return nil
}

// askedFor are the flags that were requested of the compiler, also by make
// variables that hold flags.
func askedFor(env *attest.Environment) []string {
	all := slices.Clone(env.Flags)
	for _, v := range env.MakeVariables {
		if strings.HasSuffix(v.Name, "CFLAGS") || v.Name == "CXXFLAGS" {
			all = append(all, strings.Fields(v.Value)...)
		}
	}
	return all
}

var oneAtATime = regexp.MustCompile(`^(-O|-march=|-mtune=|-mcpu=|-mcmodel=)`)

// lastOfEach keeps the last of flags that take each other's place.
func lastOfEach(flags []string) []string {
	last := map[string]string{}
	for _, f := range flags {
		if m := oneAtATime.FindString(f); m != "" {
			last[m] = f
		}
	}
	var list []string
	for _, f := range last {
		list = append(list, f)
	}
	slices.Sort(list)
	return list
}
