package sandbox

import (
	"fmt"
	"time"
)

// Limits are how much a job may use. Zero is the default, and nothing is
// without a limit. All are of the whole job, not of one process.
type Limits struct {
	CPU       time.Duration // processor time; 4 h
	Wall      time.Duration // 2 h
	Memory    int64         // bytes, with what is in /tmp; 4 GiB
	Processes int           // processes and threads at once; 1024
	Disk      int64         // bytes by which Work may grow, each file 4 KiB at least; 16 GiB
	Output    int64         // bytes of stdout and stderr together; 64 MiB
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// Defaults are the limits of a job that names none.
func Defaults() Limits {
	return Limits{CPU: 4 * time.Hour, Wall: 2 * time.Hour, Memory: 4 * gib, Processes: 1024, Disk: 16 * gib, Output: 64 * mib}
}

// or returns l with the defaults where it says nothing.
func (l Limits) or(d Limits) (Limits, error) {
	if l.CPU < 0 || l.Wall < 0 || l.Memory < 0 || l.Processes < 0 || l.Disk < 0 || l.Output < 0 {
		return l, fmt.Errorf("a limit is negative: %+v", l)
	}
	fill(&l.CPU, d.CPU)
	fill(&l.Wall, d.Wall)
	fill(&l.Memory, d.Memory)
	fill(&l.Processes, d.Processes)
	fill(&l.Disk, d.Disk)
	fill(&l.Output, d.Output)
	return l, nil
}

func fill[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Names of the limits, as a [LimitError] says them.
const (
	LimitCPU       = "processor time"
	LimitWall      = "wall clock time"
	LimitMemory    = "memory"
	LimitProcesses = "processes"
	LimitDisk      = "disk"
	LimitOutput    = "output"
)

// A LimitError is a job that was stopped as it used more than it may.
type LimitError struct {
	Limit string // one of the names above
	Max   string // what it may use, for people
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the build was stopped at its limit of %s: %s", e.Limit, e.Max)
}

// size says a number of bytes in the largest unit that divides it.
func size(n int64) string {
	switch {
	case n >= gib && n%gib == 0:
		return fmt.Sprintf("%d GiB", n/gib)
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
