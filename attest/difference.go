package attest

import (
	"fmt"
	"strconv"
)

// A Difference is one field that is not alike. Want and Got are for people;
// where one side has no such element its value is [Absent].
type Difference struct {
	Field string // JSON-pointer style path, as "flags/3" or "libraries/libc.so.6/version"
	Want  string
	Got   string
}

// Absent stands for an element only the other side has.
const Absent = "(absent)"

// Diff returns every field in which o, the environment at hand, differs from
// e, the one wanted; none exactly when the two are equal. Lists are compared
// element by element after what they begin and end with alike, so one more
// flag is one difference; libraries are matched by soname.
func (e *Environment) Diff(o *Environment) []Difference {
	if o == nil {
		o = new(Environment)
	}
	var d differ
	d.value("builderImage", string(e.BuilderImage), string(o.BuilderImage))
	d.tool("compiler", e.Compiler, o.Compiler)
	d.tool("assembler", e.Assembler, o.Assembler)
	d.tool("linker", e.Linker, o.Linker)
	diffList(&d, "flags", e.Flags, o.Flags)
	diffList(&d, "makeVariables", e.MakeVariables, o.MakeVariables)
	d.value("configuration", string(e.Configuration), string(o.Configuration))
	d.libraries(e.Libraries, o.Libraries)
	d.target(e.Target, o.Target)
	return d
}

type differ []Difference

func (d *differ) value(field, want, got string) {
	if want != got {
		*d = append(*d, Difference{field, want, got})
	}
}

func (d *differ) tool(field string, want, got Tool) {
	d.value(field+"/name", want.Name, got.Name)
	d.value(field+"/version", want.Version, got.Version)
	d.value(field+"/digest", string(want.Digest), string(got.Digest))
}

func (d *differ) target(want, got Target) {
	d.value("target/architecture", want.Architecture, got.Architecture)
	d.value("target/byteOrder", want.ByteOrder, got.ByteOrder)
	d.value("target/wordSize", strconv.Itoa(want.WordSize), strconv.Itoa(got.WordSize))
	d.value("target/abi", want.ABI, got.ABI)
}

func diffList[T comparable](d *differ, field string, want, got []T) {
	start := 0
	for start < min(len(want), len(got)) && want[start] == got[start] {
		start++
	}
	want, got = want[start:], got[start:]
	for len(want) > 0 && len(got) > 0 && want[len(want)-1] == got[len(got)-1] {
		want, got = want[:len(want)-1], got[:len(got)-1]
	}
	for i := range max(len(want), len(got)) {
		if w, g := element(want, i), element(got, i); i >= min(len(want), len(got)) || want[i] != got[i] {
			*d = append(*d, Difference{field + "/" + strconv.Itoa(start+i), w, g})
		}
	}
}

func element[T any](list []T, i int) string {
	if i >= len(list) {
		return Absent
	}
	return fmt.Sprint(list[i])
}

// libraries merges two lists that are sorted by soname.
func (d *differ) libraries(want, got []Library) {
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0].Soname < got[0].Soname:
			*d = append(*d, Difference{"libraries/" + want[0].Soname, want[0].String(), Absent})
			want = want[1:]
		case len(want) == 0 || got[0].Soname < want[0].Soname:
			*d = append(*d, Difference{"libraries/" + got[0].Soname, Absent, got[0].String()})
			got = got[1:]
		default:
			field := "libraries/" + want[0].Soname
			d.value(field+"/version", want[0].Version, got[0].Version)
			d.value(field+"/buildId", want[0].BuildID, got[0].BuildID)
			want, got = want[1:], got[1:]
		}
	}
}

// String returns the library's version and build-id.
func (l Library) String() string { return l.Version + " build-id " + l.BuildID }

// String returns the variable as it is given to make.
func (v Variable) String() string { return v.Name + "=" + v.Value }
