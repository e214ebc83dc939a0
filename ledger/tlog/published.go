package tlog

import (
	"context"
	"fmt"
	"time"
)

// lookTimeout is how long the time of a checkpoint may take to find out.
const lookTimeout = 5 * time.Second

// Published returns how many entries the last checkpoint has, and when it was
// published.
func (l *Log) Published() (size uint64, at time.Time, err error) {
	if cp, _ := l.latest.get(); cp != nil {
		size = cp.Size
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	if at, err = l.files.Published(ctx); err != nil {
		return size, time.Time{}, fmt.Errorf("looking at the checkpoint: %w", err)
	}
	return size, at, nil
}

// Unpublished returns since when a checkpoint that was signed waits to be
// published: for witnesses, or the disk. Zero: none does.
func (l *Log) Unpublished() time.Time {
	if at := l.guard.waiting.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return time.Time{}
}
