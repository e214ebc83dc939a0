package main

import "slices"

// order returns who of n goes when in a round. In n rounds, or twice as many
// where n is odd, everybody comes right after everybody else equally often
// (Williams, 1949): what a server leaves behind, in caches and in what TCP
// remembers of an address, is never the same one's to bear.
func order(n, round int) []int {
	all := make([]int, n)
	for i := range all {
		at := (i + 1) / 2
		if i%2 == 0 {
			at = n - i/2
		}
		all[i] = (at + round) % n
	}
	if n%2 == 1 && round/n%2 == 1 {
		slices.Reverse(all)
	}
	return all
}
