package attest

import (
	"slices"
	"strings"
)

// A patch build may have flags its base's had not, of these types alone: maps
// of paths, include paths, and what a kind of patch requires. Nobody can vouch
// for another. docs/spec/environment-equivalence.md, "Extra flags".

// extraPrefixes begin flags whose value may be anything.
func extraPrefixes() []string {
	return []string{
		"-ffile-prefix-map=", "-fdebug-prefix-map=", "-fmacro-prefix-map=", // where the build ran
		"-I", "-isystem", "-iquote", // where it finds headers
	}
}

// extraWords are flags as they stand: kpatch finds what changed by them.
func extraWords() []string { return []string{"-ffunction-sections", "-fdata-sections"} }

// ExtraFlag reports whether a patch build may have this flag beside its base's.
func ExtraFlag(flag string) bool {
	for _, p := range extraPrefixes() {
		if strings.HasPrefix(flag, p) && len(flag) > len(p) {
			return true
		}
	}
	return slices.Contains(extraWords(), flag)
}

// forbidden returns the first flag of got that want has not and that is none a
// patch build may have beside it; or the first of want that got lacks.
func forbidden(want, got []string) (flag string, extra, ok bool) {
	for _, g := range got {
		switch {
		case len(want) > 0 && want[0] == g:
			want = want[1:]
		case !ExtraFlag(g):
			return g, true, false
		}
	}
	if len(want) > 0 {
		return want[0], false, false
	}
	return "", false, true
}

// Unvouchable returns the differences between e, the environment of a base, and
// o, that of a patch, for which no statement can vouch: another target, and
// flags, also those in make variables, beyond the ones a patch build may have.
func (e *Environment) Unvouchable(o *Environment) []Difference {
	if o == nil {
		return e.Diff(o)
	}
	var d differ
	d.target(e.Target, o.Target)
	d.flags("flags", e.Flags, o.Flags)
	for _, name := range variableNames(e.MakeVariables, o.MakeVariables) {
		want, many := wordsOf(e.MakeVariables, name)
		got, more := wordsOf(o.MakeVariables, name)
		if field := "makeVariables/" + name; many > 1 || more > 1 {
			d.value(field, strings.Join(want, " "), strings.Join(got, " "))
		} else {
			d.flags(field, want, got)
		}
	}
	return d
}

// flags reports the first flag that is forbidden.
func (d *differ) flags(field string, want, got []string) {
	switch flag, extra, ok := forbidden(want, got); {
	case ok:
	case extra:
		*d = append(*d, Difference{field, "no extra flag but maps of paths, include paths and what the kind of patch requires", flag})
	default:
		*d = append(*d, Difference{field, flag, Absent})
	}
}

// variableNames lists the names in either list, sorted, each once.
func variableNames(a, b []Variable) []string {
	var names []string
	for _, v := range slices.Concat(a, b) {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// wordsOf returns the words of the variable called name, and how often it
// stands: of a name that stands twice, the whole is one text.
func wordsOf(list []Variable, name string) (words []string, n int) {
	for _, v := range list {
		if v.Name == name {
			words = append(words, strings.Fields(v.Value)...)
			n++
		}
	}
	return words, n
}
