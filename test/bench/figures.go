package main

import (
	"slices"
	"strconv"
	"strings"
)

// figures holds every value seen, by benchmark and unit, in order.
type figures map[string][]float64

func key(benchmark, unit string) string { return benchmark + " " + unit }

func (f figures) add(benchmark, unit string, v float64) {
	k := key(benchmark, unit)
	f[k] = append(f[k], v)
}

// median returns the middle of the runs; false if there were none.
func (f figures) median(benchmark, unit string) (float64, bool) {
	return middle(f[key(benchmark, unit)])
}

// ratio returns the middle of the runs' ratios to the peer's runs, each to the
// one of its turn: a machine that is slow for a while is slow for both.
func (f figures) ratio(benchmark, peer, unit string) (float64, bool) {
	ours, theirs := f[key(benchmark, unit)], f[key(peer, unit)]
	if len(ours) != len(theirs) || slices.Contains(theirs, 0) {
		return 0, false
	}
	var all []float64
	for i, v := range ours {
		all = append(all, v/theirs[i])
	}
	return middle(all)
}

func middle(all []float64) (float64, bool) {
	v := slices.Sorted(slices.Values(all))
	if len(v) == 0 {
		return 0, false
	}
	return v[len(v)/2], true
}

// parse reads the lines of `go test -bench` (golang.org/design/14313-benchmark-format).
func parse(out string) figures {
	f := figures{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := withoutProcs(fields[0])
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				f.add(name, fields[i+1], v)
			}
		}
	}
	return f
}

// withoutProcs drops the "-2" that GOMAXPROCS adds to a benchmark's name.
func withoutProcs(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}
