package main

import "slices"

// figures holds every value seen, by benchmark and unit.
type figures map[string][]float64

func key(benchmark, unit string) string { return benchmark + " " + unit }

func (f figures) add(benchmark, unit string, v float64) {
	k := key(benchmark, unit)
	f[k] = append(f[k], v)
}

// median returns the middle of the runs; false if there were none.
func (f figures) median(benchmark, unit string) (float64, bool) {
	v := slices.Sorted(slices.Values(f[key(benchmark, unit)]))
	if len(v) == 0 {
		return 0, false
	}
	return v[len(v)/2], true
}
