package pace

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestBurstThenPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter[string](5, 20, 10)
		for i := range 20 {
			if wait := l.Take("a"); wait != 0 {
				t.Fatalf("%d of the burst waits %v", i+1, wait)
			}
		}
		for range 3 { // asking in vain costs nothing
			if wait := l.Take("a"); wait != 200*time.Millisecond {
				t.Fatalf("beyond the burst: wait %v, want 200ms", wait)
			}
		}
		if wait := l.Take("b"); wait != 0 {
			t.Errorf("another caller waits %v", wait)
		}
		for range 10 {
			time.Sleep(200 * time.Millisecond)
			if wait := l.Take("a"); wait != 0 {
				t.Fatalf("at its pace: wait %v", wait)
			}
		}
		time.Sleep(time.Hour)
		n := 0
		for l.Take("a") == 0 {
			n++
		}
		if n != 20 {
			t.Errorf("a burst of %d after an hour, want 20", n)
		}
	})
}

// TestMemoryIsBounded: a crowd takes no more than it is given, and whoever
// comes back within it is remembered.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter[string](1, 1, 100)
		for i := range 10_000 {
			l.Take(fmt.Sprint(i))
			if n := len(l.young) + len(l.old); n > 200 {
				t.Fatalf("%d callers are remembered, want at most 200", n)
			}
		}
		if l.Take("9999") == 0 || l.Take("9900") == 0 {
			t.Error("a caller among the last 100 is forgotten")
		}
	})
}

func TestTakeDoesNotAllocate(t *testing.T) {
	l := NewLimiter[string](1_000_000, 1_000_000, 100)
	l.Take("a")
	if n := testing.AllocsPerRun(1000, func() { l.Take("a") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if n := testing.AllocsPerRun(1000, func() { PlaceOf("[2001:db8::1]:443") }); n != 0 {
		t.Errorf("finding a place: %v allocations, want none", n)
	}
}

func TestPlaces(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:443":                   "192.0.2.7/32",
		"[::ffff:192.0.2.7]:443":          "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:443":      "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:1":         "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":                "fe80::/64",
		"@":                               "invalid Prefix",
		"":                                "invalid Prefix",
		"example.org:443":                 "invalid Prefix",
		"192.0.2.7":                       "invalid Prefix",
		"[2001:db8:1:2:3:4:5:6%evil]:443": "2001:db8:1:2::/64",
	} {
		if got := PlaceOf(remote).String(); got != want {
			t.Errorf("%q is in %s, want %s", remote, got, want)
		}
	}
}
