package tlog

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
)

// A Storage is where the files of one log lie (C2SP tlog-tiles), and what
// Tessera writes them with. What a log promises does not depend on it: the log
// reads back what was written, and signs only that.
type Storage interface {
	files
	// Read returns one file by its path, and no other in its place.
	Read(ctx context.Context, path string) ([]byte, error)
	// Published returns when the checkpoint was written.
	Published(ctx context.Context) (time.Time, error)
	// Begin makes the files ready to be written, until ctx ends.
	Begin(ctx context.Context, u Use) (tessera.Driver, error)
	// Interval is the least time between two checkpoints.
	Interval() time.Duration
}

// Use is what a log brings to its files.
type Use struct {
	Client *http.Client // to ask witnesses with; nil: nobody is asked
	Lost   func(error)  // is told when somebody else writes the files too
	Logger *slog.Logger
}

// files are those of a log, by what they are; one that is not there is
// fs.ErrNotExist, and any other error means that nobody knows.
type files interface {
	ReadCheckpoint(ctx context.Context) ([]byte, error)
	ReadTile(ctx context.Context, level, index uint64, width uint8) ([]byte, error)
	ReadEntryBundle(ctx context.Context, index uint64, width uint8) ([]byte, error)
}

// Disk is a directory of this machine.
func Disk(dir string) Storage { return disk{client.FileFetcher{Root: dir}} }

type disk struct{ client.FileFetcher }

// Begin removes what a crash left half written. One process at a time has a
// directory, which is for the caller to see to.
func (d disk) Begin(ctx context.Context, u Use) (tessera.Driver, error) {
	if err := sweep(d.Root, u.Logger); err != nil {
		return nil, err
	}
	return posix.New(ctx, posix.Config{Path: d.Root, HTTPClient: u.Client})
}

// Read implements [Storage].
func (d disk) Read(_ context.Context, path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(d.Root, filepath.FromSlash(path)))
}

// Published implements [Storage].
func (d disk) Published(context.Context) (time.Time, error) {
	info, err := os.Stat(filepath.Join(d.Root, layout.CheckpointPath))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Interval implements [Storage]: it is Tessera's.
func (disk) Interval() time.Duration { return 100 * time.Millisecond }

// unstick undoes what a clock that was set back does to Tessera: it waits until
// the last checkpoint, which seems to be of the future, is old enough for the
// next. If it cannot, whoever waits tries again or gives up.
func (d disk) unstick() {
	name := filepath.Join(d.Root, layout.CheckpointPath)
	info, err := os.Stat(name)
	if now := time.Now(); err == nil && info.ModTime().After(now) {
		_ = os.Chtimes(name, time.Time{}, now.Add(-patience))
	}
}
