package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// Rebuild makes the index in the file path from src alone. It builds a new
// file beside it and renames that at the end: until then, and after an error,
// the old one is as it was. No one may have the index open meanwhile.
func Rebuild(ctx context.Context, path string, src Source) error {
	if err := rebuild(ctx, path, src); err != nil {
		return fmt.Errorf("rebuilding the index %s: %w", path, err)
	}
	return nil
}

func rebuild(ctx context.Context, path string, src Source) error {
	fresh := path + ".rebuild"
	if err := removeAll(fresh); err != nil {
		return err
	}
	if err := build(ctx, fresh, src); err != nil {
		return errors.Join(err, removeAll(fresh))
	}
	if err := retire(ctx, path); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return disk.OS{}.SyncDir(filepath.Dir(path))
}

// build makes a complete index that is one durable file.
func build(ctx context.Context, path string, src Source) error {
	x, err := open(path)
	if err != nil {
		return err
	}
	if err := x.CatchUp(ctx, src); err != nil {
		return errors.Join(err, x.Close())
	}
	if err := x.Close(); err != nil {
		return err
	}
	return fold(ctx, path)
}

// retire makes sure that no write-ahead log of an old index is left: beside the
// new file it would be taken for that one's own. A file that is no database
// cannot be folded and goes; the projection loses nothing by it.
func retire(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err == nil && fold(ctx, path) == nil {
		return nil
	}
	return removeAll(path)
}

// fold moves all of a database into its one file, durably.
func fold(ctx context.Context, path string) error {
	db, err := connect(path, 1, "")
	if err != nil {
		return err
	}
	if err := checkpoint(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil {
		return err
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return errors.New("another process has it open")
	}
	f, err := disk.OS{}.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func checkpoint(ctx context.Context, db *sql.DB) error {
	var busy, pages, moved int
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("another process has it open")
	}
	return nil
}

// removeAll removes a database, its file first: what is left after a crash in
// between belongs to nothing.
func removeAll(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
