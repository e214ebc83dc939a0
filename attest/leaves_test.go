package attest_test

import (
	"iter"
	"maps"
	"slices"
	"testing"
)

// leavesChanged yields canonical documents that differ from b in one leaf, or
// lack one element of an array.
func leavesChanged(t testing.TB, b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		tree := parsed(t, b)
		change(tree, func(any) {}, func() bool { return yield(canonical(t, tree)) })
	}
}

// change sets one leaf after another to something else by way of set, calls
// each, and puts it back.
func change(tree any, set func(any), each func() bool) bool {
	switch v := tree.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if !change(v[name], func(n any) { v[name] = n }, each) {
				return false
			}
		}
		return true
	case []any:
		for i := range v {
			if !change(v[i], func(n any) { v[i] = n }, each) {
				return false
			}
			set(slices.Delete(slices.Clone(v), i, i+1))
			ok := each()
			set(v)
			if !ok {
				return false
			}
		}
		return true
	}
	for _, other := range others(tree) {
		set(other)
		ok := each()
		set(tree)
		if !ok {
			return false
		}
	}
	return true
}

func others(leaf any) []any {
	switch v := leaf.(type) {
	case string:
		out := []any{"", v + "0", v + "x"}
		if v != "" {
			last := byte('0')
			if v[len(v)-1] == last {
				last = '1'
			}
			out = append(out, v[:len(v)-1]+string(last), v[1:])
		}
		return out
	case float64:
		return []any{v + 1, v / 2, -v}
	case bool:
		return []any{!v}
	}
	return nil
}
