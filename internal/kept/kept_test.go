package kept

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// place is where values come from: versions by key, and how often it was
// looked at.
type place struct {
	versions map[string]int
	looks    int
}

func (p *place) look(_ context.Context, key string) (int, error) {
	p.looks++
	v, ok := p.versions[key]
	if !ok {
		return 0, errors.New("gone")
	}
	return v, nil
}

// TestChangesAreSeen: what is kept is looked after once in a while, and is gone
// from then on when where it came from changed, or is gone.
func TestChangesAreSeen(t *testing.T) {
	for name, change := range map[string]func(*place){
		"another version": func(p *place) { p.versions["a"]++ },
		"gone":            func(p *place) { delete(p.versions, "a") },
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &place{versions: map[string]int{"a": 1}}
			c := New[string, int, string](10, time.Second, p.look)
			c.Add("a", 1, "value")
			for range 100 {
				if v, ok := c.Get(t.Context(), "a"); !ok || v != "value" {
					t.Fatalf("%s: %q, %v at first", name, v, ok)
				}
			}
			if p.looks != 0 {
				t.Errorf("%s: looked %d times at what was read just now", name, p.looks)
			}
			time.Sleep(time.Second)
			for range 100 {
				c.Get(t.Context(), "a")
			}
			if p.looks != 1 {
				t.Errorf("%s: looked %d times, want once a second", name, p.looks)
			}
			change(p)
			time.Sleep(time.Second)
			if v, ok := c.Get(t.Context(), "a"); ok {
				t.Errorf("%s: still %q a second later", name, v)
			}
			p.versions["a"] = 1
			if _, ok := c.Get(t.Context(), "a"); ok {
				t.Errorf("%s: back without having been read again", name)
			}
		})
	}
}

// TestNoMoreThanGiven: the one not asked for longest makes room.
func TestNoMoreThanGiven(t *testing.T) {
	p := &place{versions: map[string]int{}}
	c := New[string, int, string](2, time.Hour, p.look)
	for _, key := range []string{"a", "b", "c"} {
		c.Add(key, 1, key)
	}
	if _, ok := c.Get(t.Context(), "a"); ok {
		t.Error("three of two are kept")
	}
	c.Remove("b")
	if _, ok := c.Get(t.Context(), "b"); ok {
		t.Error("what was removed is kept")
	}
	if v, ok := c.Get(t.Context(), "c"); !ok || v != "c" {
		t.Errorf("c: %q, %v", v, ok)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	p := &place{versions: map[string]int{"a": 1}}
	c := New[string, int, []byte](2, time.Nanosecond, p.look)
	c.Add("a", 1, []byte("value"))
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { c.Get(ctx, "a") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
