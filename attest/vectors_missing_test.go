package attest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// missing makes one vector for each member of good and of the objects in it,
// each without that member, except below and at the pointers in optional.
// Every one is refused with the pointer of the member, put after at.
func missing(t *testing.T, kind, prefix string, good []byte, at string, optional ...string) []vector {
	var out []vector
	for _, pointer := range pointers(parsed(t, good), "") {
		if slices.ContainsFunc(optional, func(o string) bool { return pointer == o || strings.HasPrefix(pointer, o+"/") }) {
			continue
		}
		tree := parsed(t, good)
		remove(tree, strings.Split(pointer, "/")[1:])
		out = append(out, vector{
			name: prefix + "-missing" + strings.ReplaceAll(pointer, "/", ".") + ".txt", kind: kind,
			expect: at + pointer + ": missing", data: canonical(t, tree),
		})
	}
	return out
}

// pointers lists the members of the objects in tree; of an array, only those
// of its first element.
func pointers(tree any, at string) []string {
	switch v := tree.(type) {
	case []any:
		if len(v) > 0 {
			return pointers(v[0], at+"/0")
		}
	case map[string]any:
		var out []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(out, at+"/"+name)
			out = append(out, pointers(v[name], at+"/"+name)...)
		}
		return out
	}
	return nil
}

func remove(tree any, path []string) {
	switch v := tree.(type) {
	case []any:
		remove(v[0], path[1:])
	case map[string]any:
		if len(path) == 1 {
			delete(v, path[0])
			return
		}
		remove(v[path[0]], path[1:])
	}
}

func parsed(t testing.TB, b []byte) any {
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func canonical(t testing.TB, tree any) []byte {
	b, err := strictjson.Canonical(tree)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPointers(t *testing.T) {
	got := fmt.Sprint(pointers(parsed(t, []byte(`{"a":[{"b":1},{"c":1}],"d":{"e":2}}`)), ""))
	if want := "[/a /a/0/b /d /d/e]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
