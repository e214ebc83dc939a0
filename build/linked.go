package build

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// linked returns the libraries that the linker was told to take, by its own
// command line: there are no other ways to one inside, and nobody has to watch
// what it opens. It is the linker that made the artifact; all, where a later
// step made it from what they linked.
func (c *contained) linked() ([]string, error) {
	var found []string
	for _, r := range slices.Backward(c.record.runs) {
		if !isLinker(r.path) {
			continue
		}
		l := &linkLine{world: c.world, dir: r.dir}
		l.read(r.args)
		files, err := l.libraries()
		if err != nil {
			return nil, err
		}
		if real, err := c.world.real(below(r.dir, l.output)); err == nil && real == c.artifact {
			return files, nil
		}
		found = append(found, files...)
	}
	return found, nil
}

// A linkLine is what the command line of a linker says of libraries (GNU ld
// manual, Command-line Options).
type linkLine struct {
	world  world
	dir    string // working directory
	output string
	search []string // -L, in order
	names  []string // -l
	files  []string // libraries named by their files
}

// standard are the directories that linkers look in last.
var standard = []string{"/usr/local/lib", "/lib", "/usr/lib", "/lib64", "/usr/lib64"}

// valued are options of linkers that take the next argument.
var valued = []string{"-L", "-l", "-o", "-soname", "-h", "-rpath", "-rpath-link", "-dynamic-linker", "-T", "-m", "-z", "-e", "-u", "-plugin"}

func (l *linkLine) read(args []string) {
	l.output = "a.out"
	for i := 1; i < len(args); i++ {
		option, value := linkOption(args[i])
		if value == "" && slices.Contains(valued, option) {
			if i++; i < len(args) {
				value = args[i]
			}
		}
		l.take(option, value)
	}
}

// linkOption takes an argument apart: an option in its short form and what is
// joined to it, or no option.
func linkOption(a string) (option, value string) {
	for short, long := range map[string]string{"-L": "--library-path", "-l": "--library", "-o": "--output"} {
		if a == long {
			return short, ""
		}
		if v, ok := strings.CutPrefix(a, long+"="); ok {
			return short, v
		}
		if v, ok := strings.CutPrefix(a, short); ok && a != "-omagic" {
			return short, v
		}
	}
	if strings.HasPrefix(a, "-") {
		return a, ""
	}
	return "", a
}

func (l *linkLine) take(option, v string) {
	switch option {
	case "-L":
		l.search = append(l.search, below(l.dir, strings.TrimPrefix(v, "=")))
	case "-l":
		l.names = append(l.names, v)
	case "-o":
		l.output = v
	case "":
		if strings.Contains(path.Base(v), ".so") {
			l.files = append(l.files, below(l.dir, v))
		}
	}
}

// libraries returns the files, without links.
func (l *linkLine) libraries() ([]string, error) {
	var found []string
	for _, f := range l.files {
		if err := l.add(&found, f, 0); err != nil {
			return nil, err
		}
	}
	for _, n := range l.names {
		name := "lib" + n + ".so"
		if rest, ok := strings.CutPrefix(n, ":"); ok {
			name = rest
		}
		if err := l.look(&found, name, 0); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// look adds the first file of that name in the directories searched.
func (l *linkLine) look(found *[]string, name string, depth int) error {
	for _, dir := range slices.Concat(l.search, standard) {
		err := l.add(found, dir+"/"+name, depth)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil // an archive, which leaves no trace; or nothing, and then it is missed where it is needed
}

const (
	maxScript  = 64 << 10
	maxScripts = 4 // scripts that name scripts
)

// add adds a library, or those that a linker script in its place names.
func (l *linkLine) add(found *[]string, p string, depth int) error {
	real, err := l.world.real(p)
	if err != nil {
		return err
	}
	f, _, err := openRegular(l.world.file(real))
	if err != nil {
		return plain(err)
	}
	defer f.Close()
	b := make([]byte, maxScript)
	n, err := f.Read(b)
	if b = b[:n]; err != nil && n == 0 || bytes.HasPrefix(b, []byte("\x7fELF")) {
		if !slices.Contains(*found, real) {
			*found = append(*found, real)
		}
		return nil
	}
	if depth == maxScripts {
		return nil
	}
	for word := range strings.FieldsFuncSeq(string(b), func(r rune) bool { return strings.ContainsRune(" \t\r\n(),;", r) }) {
		if !strings.Contains(path.Base(word), ".so") {
			continue
		}
		if path.IsAbs(word) {
			err = l.add(found, word, depth+1)
		} else {
			err = l.look(found, word, depth+1)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
