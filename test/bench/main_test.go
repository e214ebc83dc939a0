package main

import "testing"

func TestGoalLines(t *testing.T) {
	f := parse(`goos: linux
BenchmarkDecide-2   	 5000	 240.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkDecide-2   	 5000	 260.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkDecide-2   	 5000	 900.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkBundle/ours-2	 10	 150 ns/op
BenchmarkBundle/bare-2	 10	 100 ns/op
BenchmarkLog 	 10	 5 ns/op	 143.5 p50-ms
PASS`)
	for _, c := range []struct {
		goal goal
		want string
	}{
		{goal{name: "median", benchmark: "BenchmarkDecide", unit: "ns/op", limit: 1000}, "goal median 260 1000 met"},
		{goal{name: "zero", benchmark: "BenchmarkDecide", unit: "allocs/op", limit: 0}, "goal zero 0 0 met"},
		{goal{name: "ratio", benchmark: "BenchmarkBundle/ours", peer: "BenchmarkBundle/bare", unit: "ns/op", limit: 1.2}, "goal ratio 1.5 1.2 short"},
		{goal{name: "stated", benchmark: "BenchmarkLog", unit: "p50-ms", stated: true}, "goal stated 143.5 stated met"},
		{goal{name: "absent", benchmark: "BenchmarkNone", unit: "ns/op", limit: 1}, "goal absent not-measured 1 short"},
	} {
		if got := c.goal.line(f); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
