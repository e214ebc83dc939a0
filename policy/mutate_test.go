package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// A doc is a predicate as a tree of maps, lists, strings, numbers and bools.
type doc = any

// toDoc returns the tree of v.
func toDoc(t testing.TB, v any) doc {
	t.Helper()
	b, err := strictjson.Canonical(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// A mutation changes one place of one document.
type mutation struct {
	doc   string // "environment", "base", "record", …
	path  []string
	what  string // "set to …", "dropped", …
	apply func(d doc) doc
}

func (m mutation) String() string {
	return m.doc + "/" + strings.Join(m.path, "/") + " " + m.what
}

// place is "target/wordSize", with every list index as "#".
func (m mutation) place() string {
	var names []string
	for _, p := range m.path {
		if _, err := strconv.Atoi(p); err == nil {
			p = "#"
		}
		names = append(names, p)
	}
	return m.doc + "/" + strings.Join(names, "/")
}

// mutations lists, by reflection over v, every way to change one field of it:
// each leaf set to other values and to its value in other, each member
// dropped, each list with an element dropped, doubled or swapped with the
// next, each pair of neighbouring fields of one type swapped. A field added to
// the type is in the list.
func mutations(t testing.TB, name string, v, other any) []mutation {
	t.Helper()
	l := &lister{doc: name, other: toDoc(t, other)}
	l.visit(reflect.ValueOf(v), nil)
	return l.all
}

type lister struct {
	doc   string
	other doc
	all   []mutation
}

func (l *lister) add(path []string, what string, apply func(doc) doc) {
	l.all = append(l.all, mutation{l.doc, append([]string(nil), path...), what, apply})
}

func (l *lister) set(path []string, value any) {
	l.add(path, fmt.Sprintf("set to %v", value), func(d doc) doc { return with(d, path, value) })
}

func (l *lister) visit(v reflect.Value, path []string) {
	switch x := v.Interface().(type) {
	case time.Time:
		for _, by := range []time.Duration{-time.Hour, time.Hour, 366 * 24 * time.Hour} {
			l.set(path, x.Add(by).Format(time.RFC3339))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			l.visit(v.Elem(), path)
		}
	case reflect.Struct:
		l.fields(v, path)
	case reflect.Slice:
		l.elements(v, path)
	case reflect.Map:
		for _, k := range v.MapKeys() {
			l.visit(v.MapIndex(k), append(path, k.String()))
		}
	default:
		l.leaf(v, path)
	}
}

func (l *lister) fields(v reflect.Value, path []string) {
	var last []string
	var lastType reflect.Type
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		here := append(append([]string(nil), path...), name)
		if !strings.Contains(opts, "omitzero") || !v.Field(i).IsZero() {
			l.add(here, "dropped", func(d doc) doc { return lacking(d, here) })
		}
		l.visit(v.Field(i), here)
		if f.Type == lastType {
			a, b := last, here
			l.add(here, "swapped with "+strings.Join(a, "/"), func(d doc) doc { return with(with(d, a, get(d, b)), b, get(d, a)) })
		}
		last, lastType = here, f.Type
	}
}

func (l *lister) elements(v reflect.Value, path []string) {
	path = append([]string(nil), path...)
	l.add(path, "emptied", func(d doc) doc { return with(d, path, []any{}) })
	// edit changes the list, where it still has enough elements.
	edit := func(i int, change func(s []any) []any) func(doc) doc {
		return func(d doc) doc {
			list, _ := get(d, path).([]any)
			if i >= len(list) {
				return d
			}
			return with(d, path, change(slices.Clone(list)))
		}
	}
	for i := range v.Len() {
		here := append(append([]string(nil), path...), strconv.Itoa(i))
		l.add(here, "dropped", edit(i, func(s []any) []any { return slices.Delete(s, i, i+1) }))
		l.add(here, "doubled", edit(i, func(s []any) []any { return slices.Insert(s, i, s[i]) }))
		if i > 0 {
			l.add(here, "swapped with the one before", edit(i, func(s []any) []any { s[i-1], s[i] = s[i], s[i-1]; return s }))
		}
		l.visit(v.Index(i), here)
	}
}

func (l *lister) leaf(v reflect.Value, path []string) {
	path = append([]string(nil), path...)
	if o := get(l.other, path); o != nil {
		l.add(path, "swapped with another's", func(d doc) doc { return with(d, path, o) })
	}
	switch v.Kind() {
	case reflect.String:
		for _, s := range strangeStrings(v.String()) {
			l.set(path, s)
		}
	case reflect.Int, reflect.Int64:
		for _, n := range []int64{v.Int() + 1, v.Int() - 1, v.Int() / 2, -v.Int(), 0} {
			l.set(path, float64(n))
		}
	case reflect.Bool:
		l.set(path, !v.Bool())
	default:
		panic("no mutation for " + v.Kind().String()) // a new kind of field needs one
	}
}

// strangeStrings returns values like s: one that has the form of s whatever it
// is (hex, UUID, digest, word), words of the formats, and nothing.
func strangeStrings(s string) []string {
	list := []string{"", s + "0", s + " ", strings.ToUpper(s)}
	if s != "" {
		last := byte('0')
		if s[len(s)-1] == '0' {
			last = '1'
		}
		list = append(list, s[:len(s)-1]+string(last), s[:len(s)-1])
	}
	switch s {
	case "little", "big":
		list = append(list, "little", "big")
	case "x86_64", "sysv":
		list = append(list, "aarch64", "gnu")
	}
	return list
}

// get returns what is at path; nil where nothing is.
func get(d doc, path []string) any {
	for _, p := range path {
		switch v := d.(type) {
		case map[string]any:
			d = v[p]
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i >= len(v) {
				return nil
			}
			d = v[i]
		default:
			return nil
		}
	}
	return d
}

// with returns a copy of d that has value at path; no value takes it away.
// Where an earlier mutation took the parent away there is nothing to change.
func with(d doc, path []string, value any) doc {
	if len(path) == 0 {
		return value
	}
	if value == nil {
		return lacking(d, path)
	}
	switch v := d.(type) {
	case map[string]any:
		if _, there := v[path[0]]; !there && len(path) > 1 {
			return d
		}
		v = maps.Clone(v)
		v[path[0]] = with(v[path[0]], path[1:], value)
		return v
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(v) {
			return d
		}
		v = slices.Clone(v)
		v[i] = with(v[i], path[1:], value)
		return v
	}
	return d
}

// lacking returns a copy of d without the member at path.
func lacking(d doc, path []string) doc {
	parent, ok := get(d, path[:len(path)-1]).(map[string]any)
	if !ok {
		return d
	}
	parent = maps.Clone(parent)
	delete(parent, path[len(path)-1])
	return with(d, path[:len(path)-1], parent)
}

// The lister reaches every leaf of a type: this counts them another way.
func TestMutationsReachEveryField(t *testing.T) {
	s := newScene(t)
	w, other := s.World(s.product, "one"), s.World(s.product, "two")
	for _, v := range []struct {
		name     string
		v, other any
	}{
		{"environment", w.Environment, other.Environment}, {"base", w.Base, other.Base},
		{"record", w.Record, other.Record}, {"livepatch", w.Patch, other.Patch},
	} {
		original := toDoc(t, v.v)
		seen := make(map[string]bool)
		for _, m := range mutations(t, v.name, v.v, v.other) {
			if changed := m.apply(original); !reflect.DeepEqual(changed, original) {
				seen[strings.Join(m.path, "/")] = true
			}
		}
		var leaves func(d doc, path string)
		leaves = func(d doc, path string) {
			switch d := d.(type) {
			case map[string]any:
				for k, c := range d {
					leaves(c, path+"/"+k)
				}
			case []any:
				for i, c := range d {
					leaves(c, path+"/"+strconv.Itoa(i))
				}
			default:
				if !seen[strings.TrimPrefix(path, "/")] {
					t.Errorf("%s%s is never changed", v.name, path)
				}
			}
		}
		leaves(original, "")
	}
}
