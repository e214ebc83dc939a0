package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A load is a number of clients that do the same work over and over, for a
// time, or a number of times in all.
type load struct {
	clients int
	unread  bool
	secure  *tls.Config // nil: plain
	window  time.Duration
	times   int64 // 0: as often as the window lets
	work    func(c *client) error
}

// A tally is what came of a load.
type tally struct {
	done int64
	took time.Duration
}

func (t tally) rate() float64 { return float64(t.done) / t.took.Seconds() }

// slack is how long what runs at the end of a window may still take.
const slack = time.Minute

// drive puts the load on a server. The first error ends it: a server that
// refuses is not compared with one that works.
func (l load) drive(ctx context.Context, address string) (tally, error) {
	clients, err := l.connect(address)
	defer func() {
		for _, c := range clients {
			_ = c.close() // the figures are taken
		}
	}()
	if err != nil {
		return tally{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.limit())
	defer cancel()
	var done, taken atomic.Int64
	var failure atomic.Pointer[error]
	more := func() bool {
		return ctx.Err() == nil && failure.Load() == nil && (l.times == 0 || taken.Add(1) <= l.times)
	}
	var workers sync.WaitGroup
	start := time.Now()
	for _, c := range clients {
		workers.Go(func() {
			for more() {
				if err := l.work(c); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	workers.Wait()
	t := tally{done.Load(), time.Since(start)}
	if err := failure.Load(); err != nil {
		return t, *err
	}
	if t.done == 0 {
		return t, errors.Join(errors.New("nothing was done in the time there was"), ctx.Err())
	}
	return t, nil
}

func (l load) limit() time.Duration {
	if l.window > 0 {
		return l.window
	}
	return slack
}

func (l load) connect(address string) ([]*client, error) {
	var all []*client
	for range l.clients {
		c, err := dial(address, l.secure, l.limit()+slack)
		if err != nil {
			return all, fmt.Errorf("connecting: %w", err)
		}
		c.unread = l.unread
		all = append(all, c)
	}
	return all, nil
}
