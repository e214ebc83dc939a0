package tlog

import (
	"testing"
	"time"
)

func TestPublished(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	began := time.Now().Add(-time.Minute)
	add(t, l, leaf(t), false)
	size, at, err := l.Published()
	if err != nil || size != 1 || at.Before(began) || at.After(time.Now().Add(time.Minute)) {
		t.Errorf("%d entries at %v, %v", size, at, err)
	}
	closed(t, l)
	if again, then, err := h.open().Published(); err != nil || again != 1 || then.Before(at) {
		t.Errorf("opened again: %d entries at %v, %v", again, then, err)
	}
}
