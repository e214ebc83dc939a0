package main

import "testing"

// TestPercent: little that is kept leaves room for much garbage, and never more
// than spare because of it; much that is kept is as Go has it.
func TestPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 2400, 1 << 20: 2400, 8 << 20: 300, 9 << 20: 200, 24 << 20: 100, 25 << 20: 100, 10 << 30: 100} {
		got := percent(live)
		if got != want {
			t.Errorf("%d bytes are kept: %d percent, want %d", live, got, want)
		}
		if room := live * uint64(got) / 100; room > max(spare, live) {
			t.Errorf("%d bytes are kept: room for %d bytes of garbage", live, room)
		}
	}
}
