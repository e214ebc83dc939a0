package runc

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/build/sandbox"
)

// holds evaluates comparisons as libseccomp defines them, on whole arguments.
func holds(t *testing.T, rules []seccompRule, args [6]uint64) bool {
	t.Helper()
	for _, r := range rules {
		all := true
		for _, a := range r.Args {
			v := args[a.Index]
			switch a.Op {
			case "SCMP_CMP_EQ":
				all = all && v == a.Value
			case "SCMP_CMP_GT":
				all = all && v > a.Value
			case "SCMP_CMP_MASKED_EQ":
				all = all && v&a.Value == a.ValueTwo
			default:
				t.Fatalf("comparison %s", a.Op)
			}
		}
		if all {
			return true
		}
	}
	return false
}

// A runtime's rules refuse what ours refuse, and allow what ours allow.
func TestFilter(t *testing.T) {
	for _, c := range []struct {
		when []sandbox.Condition
		args [6]uint64
		want bool
	}{
		{nil, [6]uint64{}, true},
		{[]sandbox.Condition{{Arg: 0, Values: []uint32{1, 2, 10, 16}}}, [6]uint64{16}, false},
		{[]sandbox.Condition{{Arg: 0, Values: []uint32{1, 2, 10, 16}}}, [6]uint64{0}, true},
		{[]sandbox.Condition{{Arg: 0, Values: []uint32{1, 2, 10, 16}}}, [6]uint64{9}, true},
		{[]sandbox.Condition{{Arg: 0, Values: []uint32{1, 2, 10, 16}}}, [6]uint64{40}, true},
		{[]sandbox.Condition{{Arg: 0, Values: []uint32{0}}}, [6]uint64{0}, false},
		{[]sandbox.Condition{{Arg: 0, Values: []uint32{0}}}, [6]uint64{1}, true},
		{[]sandbox.Condition{{Arg: 1, Mask: unix.S_ISUID | unix.S_ISGID}}, [6]uint64{0, 0o777}, false},
		{[]sandbox.Condition{{Arg: 1, Mask: unix.S_ISUID | unix.S_ISGID}}, [6]uint64{0, 0o2777}, true},
		{[]sandbox.Condition{{Arg: 0, Mask: 6}, {Arg: 1, Mask: 1}}, [6]uint64{4, 2}, false},
		{[]sandbox.Condition{{Arg: 0, Mask: 6}, {Arg: 1, Mask: 1}}, [6]uint64{1, 1}, false},
		{[]sandbox.Condition{{Arg: 0, Mask: 6}, {Arg: 1, Mask: 1}}, [6]uint64{4, 3}, true},
	} {
		if got := holds(t, filter(sandbox.Rule{Name: "x", When: c.when}), c.args); got != c.want {
			t.Errorf("%+v of %v: %v", c.when, c.args[:2], got)
		}
	}
}
