package main

import "testing"

// TestOrder: everybody goes once in a round, and comes right after everybody
// else equally often.
func TestOrder(t *testing.T) {
	for n := 1; n <= 7; n++ {
		rounds := n * (1 + n%2)
		after := map[[2]int]int{}
		for round := range rounds {
			seen := map[int]bool{}
			all := order(n, round)
			for i, who := range all {
				if who < 0 || who >= n || seen[who] {
					t.Fatalf("round %d of %d: %v", round, n, all)
				}
				if seen[who] = true; i > 0 {
					after[[2]int{all[i-1], who}]++
				}
			}
		}
		for pair, times := range after {
			if want := rounds / n; times != want {
				t.Errorf("of %d, %v came %d times, want %d", n, pair, times, want)
			}
		}
		if len(after) != n*(n-1) {
			t.Errorf("of %d, %d pairs came", n, len(after))
		}
	}
}
