package tlog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
)

// stray matches what Tessera had not finished, besides tiles: a name of its
// own and the digits it adds while it writes.
var (
	stray  = regexp.MustCompile(`^(checkpoint|\.state/(treeState|gcState|version))[0-9]+$`)
	digits = regexp.MustCompile(`^[0-9]+$`)
)

// sweep removes the files a crash left half written: Tessera writes a file
// under its name and some digits, and renames it. Files that are neither this
// nor the log's are left alone.
func sweep(dir string, logger *slog.Logger) error {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || !unfinished(filepath.ToSlash(name)) {
			return err
		}
		logger.Info("removing a file a crash left half written", "file", path)
		return os.Remove(path)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweeping the log: %w", err)
	}
	return nil
}

func unfinished(name string) bool {
	if stray.MatchString(name) {
		return true
	}
	if !strings.HasPrefix(name, "tile/") || !digits.MatchString(filepath.Base(name)) {
		return false
	}
	_, ok := parseTile(name)
	return !ok
}

// A tile names one of the log's files (C2SP tlog-tiles).
type tile struct {
	level uint64 // of hashes; 0 for entries
	n     uint64
	width uint64 // 1 to 256
}

// parseTile reads the path of a tile or of a bundle of entries; only the one
// form of each path is read.
func parseTile(path string) (t tile, ok bool) {
	kind, rest, ok := strings.Cut(strings.TrimPrefix(path, "tile/"), "/")
	if !ok {
		return tile{}, false
	}
	n, p, err := layout.ParseTileIndexPartial(rest)
	if err != nil {
		return tile{}, false
	}
	t = tile{n: n, width: layout.TileWidth}
	if p > 0 {
		t.width = uint64(p)
	}
	if kind == "entries" {
		return t, path == layout.EntriesPath(n, p)
	}
	if t.level, err = layout.ParseTileLevel(kind); err != nil {
		return tile{}, false
	}
	return t, path == layout.TilePath(t.level, n, p)
}

// within reports whether a log of size entries has all of t.
func (t tile) within(size uint64) bool {
	shift := layout.TileHeight * t.level
	if shift >= 64 || t.n >= 1<<55 {
		return false
	}
	return t.n*layout.TileWidth+t.width <= size>>shift
}
