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
BenchmarkFront/blob-1m/ours 1 100 cpu-µs/req 30 req/s
BenchmarkFront/blob-1m/zot 1 200 cpu-µs/req 25 req/s
BenchmarkFront/blob-1m/ours 1 900 cpu-µs/req 3 req/s
BenchmarkFront/blob-1m/zot 1 900 cpu-µs/req 4 req/s
BenchmarkFront/blob-1m/ours 1 100 cpu-µs/req 30 req/s
BenchmarkFront/blob-1m/zot 1 200 cpu-µs/req 25 req/s
BenchmarkFront/blob-1m/bare 1 200 cpu-µs/req 25 req/s
BenchmarkFront/blob-1m/idle 1 0 cpu-µs/req 0 req/s
PASS`)
	ours, zot := figure("blob-1m", "ours"), figure("blob-1m", "zot")
	for _, c := range []struct {
		goal goal
		want string
	}{
		{goal{name: "median", benchmark: "BenchmarkDecide", unit: "ns/op", limit: 1000}, "goal median 260 1000 met"},
		{goal{name: "zero", benchmark: "BenchmarkDecide", unit: "allocs/op", limit: 0}, "goal zero 0 0 met"},
		{goal{name: "ratio", benchmark: "BenchmarkBundle/ours", peer: "BenchmarkBundle/bare", unit: "ns/op", limit: 1.2}, "goal ratio 1.5 1.2 short"},
		{goal{name: "stated", benchmark: "BenchmarkLog", unit: "p50-ms", stated: true}, "goal stated 143.5 stated met"},
		{goal{name: "absent", benchmark: "BenchmarkNone", unit: "ns/op", limit: 1}, "goal absent not-measured 1 short"},
		{goal{name: "turns", benchmark: ours, peer: zot, unit: cpuUnit, limit: 0.5}, "goal turns 0.5 0.5 met"},
		{goal{name: "least", benchmark: ours, peer: zot, unit: rateUnit, limit: 1.2, least: true}, "goal least 1.2 >=1.2 met"},
		{goal{name: "less", benchmark: ours, peer: zot, unit: rateUnit, limit: 1.3, least: true}, "goal less 1.2 >=1.3 short"},
		{goal{name: "gave-up", benchmark: ours, peer: figure("blob-1m", "bare"), unit: cpuUnit, limit: 9}, "goal gave-up not-measured 9 short"},
		{goal{name: "idle", benchmark: figure("blob-1m", "bare"), peer: figure("blob-1m", "idle"), unit: cpuUnit, limit: 9}, "goal idle not-measured 9 short"},
		{goal{name: "no-peer", benchmark: ours, peer: figure("blob-1m", "none"), unit: rateUnit, limit: 1, least: true}, "goal no-peer not-measured >=1 short"},
		{goal{name: "nobody", benchmark: "BenchmarkNone", peer: "BenchmarkNone", unit: rateUnit, limit: 1, least: true}, "goal nobody not-measured >=1 short"},
	} {
		if got := c.goal.line(f); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestGoalsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range chosen("all") {
		if seen[g.name] {
			t.Errorf("two goals are named %s", g.name)
		}
		seen[g.name] = true
	}
}

func TestPattern(t *testing.T) {
	some := []goal{
		{pkg: "a", benchmark: "BenchmarkX/one", peer: "BenchmarkZ"}, {pkg: "a", benchmark: "BenchmarkX/two"}, {pkg: "b", benchmark: "BenchmarkY"},
	}
	if got, want := pattern("a", some), "^(BenchmarkX|BenchmarkZ)$"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAreas(t *testing.T) {
	all := len(chosen("all"))
	for _, area := range []string{"spine", "front", "evidence", "build"} {
		n := len(chosen(area))
		if n == 0 {
			t.Errorf("area %s has no goal", area)
		}
		all -= n
	}
	if all != 0 || len(chosen("none")) != 0 {
		t.Errorf("%d goals are in no area, or in two", all)
	}
}
