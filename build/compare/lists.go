package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/build/object"
)

// maxLinks is how many differing relocations of one function are listed.
const maxLinks = 50

// merge walks two sorted lists and hands over what is in one of them, or in
// both, by key.
func merge[T any](a, b []T, key func(*T) string, visit func(x, y *T)) {
	for len(a) > 0 || len(b) > 0 {
		c := -1
		if len(a) == 0 {
			c = 1
		} else if len(b) > 0 {
			c = cmp.Compare(key(&a[0]), key(&b[0]))
		}
		var x, y *T
		if c <= 0 {
			x, a = &a[0], a[1:]
		}
		if c >= 0 {
			y, b = &b[0], b[1:]
		}
		visit(x, y)
	}
}

func (r *Report) functions(a, b []object.Body) {
	r.Functions = []Function{}
	sortBy(a, func(f *object.Body) string { return f.Name })
	sortBy(b, func(f *object.Body) string { return f.Name })
	merge(a, b, func(f *object.Body) string { return f.Name }, func(x, y *object.Body) {
		f := Function{Relocations: []string{}}
		switch {
		case x == nil:
			f.Change, f.Name, f.Section, f.SizeB, f.Bytes = Added, plain(y.Name), plain(y.Section), int64(y.Size), true
		case y == nil:
			f.Change, f.Name, f.Section, f.SizeA, f.Bytes = Removed, plain(x.Name), plain(x.Section), int64(x.Size), true
		default:
			f.Change, f.Name, f.Section, f.SizeA, f.SizeB = Changed, plain(x.Name), plain(y.Section), int64(x.Size), int64(y.Size)
			f.Bytes = x.Size != y.Size || x.Sum != y.Sum
			f.Relocations = links(x.Relocations, y.Relocations)
			if !f.Bytes && len(f.Relocations) == 0 && x.Section == y.Section {
				return
			}
		}
		r.Functions = append(r.Functions, f)
	})
}

func sortBy[T any](list []T, key func(*T) string) {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(key(&a), key(&b)) })
}

// links returns the relocations that only one of two versions of a function
// has, as lines.
func links(a, b []object.Link) []string {
	x, y := lines(a), lines(b)
	out := []string{}
	merge(x, y, func(s *string) string { return *s }, func(x, y *string) {
		switch {
		case x == nil:
			out = append(out, "+ "+*y)
		case y == nil:
			out = append(out, "- "+*x)
		}
	})
	if more := len(out) - maxLinks; more > 0 {
		out = append(out[:maxLinks], fmt.Sprintf("and %d more", more))
	}
	return out
}

func lines(list []object.Link) []string {
	out := make([]string, 0, len(list))
	for _, l := range list {
		out = append(out, plain(l.String()))
	}
	slices.Sort(out)
	return out
}

func (r *Report) sections(a, b []object.Content) {
	r.Sections = []Section{}
	sortBy(a, func(s *object.Content) string { return s.Name })
	sortBy(b, func(s *object.Content) string { return s.Name })
	merge(a, b, func(s *object.Content) string { return s.Name }, func(x, y *object.Content) {
		switch {
		case x == nil:
			r.Sections = append(r.Sections, Section{plain(y.Name), Added, y.Loaded, 0, int64(y.Size)})
		case y == nil:
			r.Sections = append(r.Sections, Section{plain(x.Name), Removed, x.Loaded, int64(x.Size), 0})
		case x.Sum != y.Sum || x.Size != y.Size || x.Loaded != y.Loaded:
			r.Sections = append(r.Sections, Section{plain(x.Name), Changed, x.Loaded || y.Loaded, int64(x.Size), int64(y.Size)})
		}
	})
}

func (r *Report) imports(x, y *one) {
	r.Imports = []Import{}
	a, b := crcs(x), crcs(y)
	names := slices.Concat(x.imports, y.imports)
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before := contains(x.imports, name) || a[name] != ""
		after := contains(y.imports, name) || b[name] != ""
		i := Import{plain(name), Changed, a[name], b[name]}
		switch {
		case !before:
			i.Change = Added
		case !after:
			i.Change = Removed
		case a[name] == b[name]:
			continue
		}
		r.Imports = append(r.Imports, i)
	}
}

func contains(sorted []string, s string) bool {
	_, ok := slices.BinarySearch(sorted, s)
	return ok
}

func crcs(o *one) map[string]string {
	all := map[string]string{}
	if o.module != nil {
		for _, v := range o.module.Versions {
			all[v.Symbol] = fmt.Sprintf("0x%08x", v.CRC)
		}
	}
	return all
}

// plain returns a text from a file as it can stand in a report: valid, without
// control characters, and not endless.
func plain(s string) string {
	const limit = 400
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
