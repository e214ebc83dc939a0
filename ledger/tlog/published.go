package tlog

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
)

// Published returns how many entries the last checkpoint has, and when it was
// published.
func (l *Log) Published() (size uint64, at time.Time, err error) {
	if cp, _ := l.latest.get(); cp != nil {
		size = cp.Size
	}
	info, err := os.Stat(filepath.Join(l.files.Root, layout.CheckpointPath))
	if err != nil {
		return size, time.Time{}, fmt.Errorf("looking at the checkpoint: %w", err)
	}
	return size, info.ModTime(), nil
}

// Unpublished returns since when a checkpoint that was signed waits to be
// published: for witnesses, or the disk. Zero: none does.
func (l *Log) Unpublished() time.Time {
	if at := l.guard.waiting.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return time.Time{}
}
