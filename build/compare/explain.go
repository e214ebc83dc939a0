package compare

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/build/object"
)

// A Category says in a word why two files differ. They are public: added,
// never renamed.
type Category string

// The categories, from the most alike on.
const (
	Identical  Category = "identical"
	Signature  Category = "signature"  // one is signed, or by another key
	Debug      Category = "debug"      // other debug information
	BuildTime  Category = "build-time" // the time of the build, of a libcare patch
	BuildID    Category = "build-id"   // the build-id alone
	BuildPath  Category = "build-path" // the build-id alone, because of another directory
	Options    Category = "options"    // the build-id alone, because of other options
	Unreadable Category = "unreadable" // one of them cannot be read
	Format     Category = "format"     // they are not the same kind of file, or none that is known
	Target     Category = "target"     // they are for other machines
	Compiler   Category = "compiler"   // other compilers
	Symbols    Category = "symbols"    // only names or places of symbols
	Data       Category = "data"       // data, and no function
	Code       Category = "code"       // functions
)

// An Explanation says which digests are the same, and why the others are not.
type Explanation struct {
	Category Category `json:"category"`
	Sentence string   `json:"sentence"`
	Same     []string `json:"same"` // digests that are: "file", "withoutSignature", "withoutDebug", "code"
}

// Explain says in one sentence how alike a and b are.
func Explain(a, b File) (Explanation, error) {
	r, err := Files(a, b)
	if err != nil {
		return Explanation{}, err
	}
	return r.Explanation, nil
}

func explain(x, y *one, r *Report) (Explanation, error) {
	e := Explanation{Same: same(x, y)}
	switch {
	case x.Side.File == y.Side.File:
		e.Category, e.Sentence = Identical, "the files are the same, bit for bit"
	case x.Digests == nil || y.Digests == nil || x.Problem != "" || y.Problem != "":
		e.Category, e.Sentence = Unreadable, "one of the files cannot be read as what it begins as: "+cmp.Or(x.Problem, y.Problem)
	case slices.Contains(e.Same, "withoutSignature"):
		e.Category, e.Sentence = Signature, "differs only in the signature appended to the module; compare withoutSignature"
	case slices.Contains(e.Same, "withoutDebug"):
		e.Category, e.Sentence = Debug, "differs only in debug information: built with other debug options, or stripped; code, data and build-id are the same"
	case slices.Contains(e.Same, "code"):
		e.Category, e.Sentence = onlyBuildID(x, y)
	case x.elf == nil || y.elf == nil:
		at, err := firstDifference(x.File, y.File)
		if err != nil {
			return e, err
		}
		e.Category, e.Sentence = Format, fmt.Sprintf("the files first differ at byte %d; they are not both ELF files, so it is not known what is there", at)
	default:
		e.Category, e.Sentence = different(x, y, r)
	}
	return e, nil
}

// same returns which digests are the same.
func same(x, y *one) []string {
	list := []string{}
	if x.Side.File == y.Side.File {
		list = append(list, "file")
	}
	if x.Digests == nil || y.Digests == nil {
		return list
	}
	a, b := x.Digests, y.Digests
	if a.WithoutSignature == b.WithoutSignature {
		list = append(list, "withoutSignature")
	}
	if a.WithoutDebug == b.WithoutDebug {
		list = append(list, "withoutDebug")
	}
	if a.Code == b.Code {
		list = append(list, "code")
	}
	return list
}

// onlyBuildID says why the build-id differs, as far as debug information
// tells: the build-id is a hash over it, too.
func onlyBuildID(x, y *one) (Category, string) {
	const only = "differs only in build-id"
	if x.BuildID == y.BuildID {
		return BuildTime, "differs only in the time of the build that the header of the patch records"
	}
	if x.elf != nil && y.elf != nil {
		dirs, options, err := object.Producers(x.elf, maxDebug)
		otherDirs, otherOptions, otherErr := object.Producers(y.elf, maxDebug)
		switch {
		case err != nil || otherErr != nil:
		case !slices.Equal(dirs, otherDirs):
			return BuildPath, fmt.Sprintf("%s: built at another path (%s, %s); add -ffile-prefix-map=DIRECTORY=/build", only, paths(dirs), paths(otherDirs))
		case !slices.Equal(options, otherOptions):
			return Options, only + ": built with other options, or another compiler, that left no trace in code and data: " + optionsThatDiffer(options, otherOptions)
		}
	}
	return BuildID, only + ": most often it was built at another path; add -ffile-prefix-map=DIRECTORY=/build"
}

func paths(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	s := plain(list[0])
	if len(list) > 1 {
		s += fmt.Sprintf(" and %d more", len(list)-1)
	}
	return s
}

// optionsThatDiffer returns the words that only one of two makers has.
func optionsThatDiffer(a, b []string) string {
	words := func(list []string) []string { return strings.Fields(strings.Join(list, " ")) }
	x, y := words(a), words(b)
	var out []string
	for _, w := range x {
		if !slices.Contains(y, w) {
			out = append(out, "-"+w)
		}
	}
	for _, w := range y {
		if !slices.Contains(x, w) {
			out = append(out, "+"+w)
		}
	}
	return plain(strings.Join(slices.Compact(out), " "))
}

// different says what is the first cause of a difference that counts.
func different(x, y *one, r *Report) (Category, string) {
	for _, v := range r.Header {
		if v.Key == "class" || v.Key == "byte order" || v.Key == "machine" {
			return Target, fmt.Sprintf("the files are for other machines: %s is %s, and %s", v.Key, v.A, v.B)
		}
	}
	code := functionsThatDiffer(r)
	switch {
	case len(r.Compilers) > 0:
		return Compiler, fmt.Sprintf("built by another compiler: %s, and %s; %s", names(x.compilers), names(y.compilers), cmp.Or(code, "no function differs"))
	case code != "":
		return Code, code
	}
	var sections []string
	for _, s := range r.Sections {
		if s.Loaded && s.Name != ".note.gnu.build-id" {
			sections = append(sections, s.Name)
		}
	}
	if len(sections) > 0 {
		return Data, "no function differs, but what else is loaded does: " + few(sections)
	}
	return Symbols, "nothing that is loaded differs but names or places: symbols, relocations, or sections that are not loaded"
}

func functionsThatDiffer(r *Report) string {
	by := map[string][]string{}
	for _, f := range r.Functions {
		by[f.Change] = append(by[f.Change], f.Name)
	}
	var parts []string
	for _, change := range [...]string{Changed, Added, Removed} {
		if list := by[change]; len(list) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s %s: %s", len(list), noun(len(list)), change, few(list)))
		}
	}
	return strings.Join(parts, "; ")
}

func noun(n int) string {
	if n == 1 {
		return "function"
	}
	return "functions"
}

func few(list []string) string {
	const most = 5
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

func names(list []string) string {
	if len(list) == 0 {
		return "nothing says which"
	}
	return plain(strings.Join(list, " and "))
}

// firstDifference returns the number of the first byte that differs.
func firstDifference(a, b File) (int64, error) {
	const chunk = 64 << 10
	x, y := make([]byte, chunk), make([]byte, chunk)
	for off := int64(0); off < min(a.Size, b.Size); off += chunk {
		n := min(chunk, min(a.Size, b.Size)-off)
		if _, err := a.Reader.ReadAt(x[:n], off); err != nil && off+n < a.Size {
			return 0, err
		}
		if _, err := b.Reader.ReadAt(y[:n], off); err != nil && off+n < b.Size {
			return 0, err
		}
		if bytes.Equal(x[:n], y[:n]) {
			continue
		}
		for i := range n {
			if x[i] != y[i] {
				return off + i, nil
			}
		}
	}
	return min(a.Size, b.Size), nil
}
