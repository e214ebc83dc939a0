package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// spare is how many bytes of garbage there may be, about, before it is
	// collected, where less than that is kept. What a server keeps in memory is little, and a pull makes some
	// kilobytes of garbage: to collect whenever as much is garbage as is kept
	// costs more than the pulls themselves.
	spare = 24 << 20
	// leastPercent is what Go does by default: as much garbage as is kept.
	leastPercent = 100
	// measureEvery is how often it is looked how much is kept.
	measureEvery = 10 * time.Second
)

// spacious leaves room for garbage, and gives back what the start took. Whoever
// sets GOGC knows better.
func spacious(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.FreeOSMemory()
	set := percent(live())
	debug.SetGCPercent(set)
	go func() {
		tick := time.NewTicker(measureEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if want := percent(live()); want != set { // setting it stops the world
				debug.SetGCPercent(want)
				set = want
			}
		}
	}()
}

// live returns how many bytes were in use when garbage was collected last.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	if metrics.Read(s); s[0].Value.Kind() != metrics.KindUint64 {
		return spare // nothing is known: as by default
	}
	return s[0].Value.Uint64()
}

// percent returns how much garbage there may be next to so many bytes in use,
// in steps of leastPercent.
func percent(live uint64) int {
	return max(leastPercent, int(spare/max(live, 1<<20))*leastPercent)
}
