package build

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

var fileVersion = regexp.MustCompile(`\.so\.([0-9][0-9A-Za-z.]*)$`)

// library describes the shared library in the file at path: its version is its
// highest version definition or, without one, its file name's suffix.
func library(path string) (attest.Library, *elf.File, error) {
	b, err := readWhole(path, maxELF)
	if err != nil {
		return attest.Library{}, nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return attest.Library{}, nil, errNoLibrary
	}
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil || len(names) == 0 {
		return attest.Library{}, nil, errNoLibrary
	}
	l := attest.Library{Soname: names[0], Version: highestDefinition(f)}
	if l.Version == "" {
		if m := fileVersion.FindStringSubmatch(filepath.Base(path)); m != nil {
			l.Version = m[1]
		}
	}
	l.BuildID, err = buildID(f)
	return l, f, err
}

var errNoLibrary = errors.New("not a shared library with a soname")

var definition = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*_([0-9]+(?:\.[0-9]+)*)$`)

// highestDefinition returns the symbol version the library defines that has
// the highest number, as "GLIBC_2.36"; "" where no version has a number.
func highestDefinition(f *elf.File) string {
	versions, err := f.DynamicVersions()
	if err != nil {
		return ""
	}
	best, number := "", []int(nil)
	for _, v := range versions {
		m := definition.FindStringSubmatch(v.Name)
		if m == nil || v.Flags&elf.VER_FLG_BASE != 0 {
			continue
		}
		n := numbers(m[1])
		if c := slices.Compare(n, number); c > 0 || c == 0 && v.Name > best {
			best, number = v.Name, n
		}
	}
	return best
}

func numbers(s string) []int {
	var list []int
	for word := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(word)
		if err != nil { // more digits than a number has
			n = -1
		}
		list = append(list, n)
	}
	return list
}

// libraries matches every library that out needs to one of files, those that
// the linker took libraries from.
func libraries(out *Facts, files []string, w world) ([]attest.Library, error) {
	found := map[string][]candidate{}
	for _, real := range files {
		if !strings.Contains(filepath.Base(real), ".so") {
			continue
		}
		l, f, err := library(w.file(real))
		if errors.Is(err, errNoLibrary) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("library %s: %w", real, err)
		}
		if t := target(f.FileHeader); t.Architecture == out.Target.Architecture && t.WordSize == out.Target.WordSize {
			found[l.Soname] = append(found[l.Soname], candidate{l, real})
		}
	}
	list := []attest.Library{}
	for _, soname := range out.Needed {
		l, err := choose(soname, found[soname])
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	sortLibraries(list)
	return slices.Compact(list), nil
}

func sortLibraries(list []attest.Library) {
	slices.SortFunc(list, func(a, b attest.Library) int { return cmp.Compare(a.Soname, b.Soname) })
}

// A candidate is a library that the linker opened.
type candidate struct {
	attest.Library
	path string
}

// afterwards returns what a linker opened once it had begun its output, each
// file once: before that it loads libraries of its own. A linker that begins
// its output last leaves only all of them to look at.
func afterwards(opens []opened) []string {
	begun := slices.IndexFunc(opens, func(o opened) bool { return o.made })
	last := len(opens) - 1 - slices.IndexFunc(reversed(opens), func(o opened) bool { return !o.made })
	if begun >= 0 && begun < last {
		opens = opens[begun:]
	}
	var list []string
	for _, o := range opens {
		if !o.made && !slices.Contains(list, o.real) {
			list = append(list, o.real)
		}
	}
	return list
}

func reversed(list []opened) []opened {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// choose picks the one library that was linked. Two different ones of the same
// name are an error: which one won cannot be told.
func choose(soname string, list []candidate) (attest.Library, error) {
	if len(list) == 0 {
		return attest.Library{}, fmt.Errorf("the output needs %s, and no file the linker opened is it", soname)
	}
	l := list[0]
	for _, other := range list[1:] {
		if other.Library != l.Library {
			return attest.Library{}, fmt.Errorf("the linker opened two libraries %s: %s and %s", soname, l.path, other.path)
		}
	}
	if l.BuildID == "" {
		return attest.Library{}, fmt.Errorf("library %s (%s) has no GNU build-id, so it cannot be told from another; link it with -Wl,--build-id", soname, l.path)
	}
	if l.Version == "" {
		return attest.Library{}, fmt.Errorf("library %s (%s) has neither version definitions nor a version in its file name", soname, l.path)
	}
	return l.Library, nil
}
