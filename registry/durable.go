package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"golang.org/x/sys/unix"
)

// durable makes names survive a power cut. Distribution's filesystem driver
// syncs files, and the directory of the small ones; it does not sync the
// directory it renames a blob into, nor the parents of directories it makes.
type durable struct {
	storagedriver.StorageDriver
	root string
	mu   sync.Mutex // held while directories are made
}

func (d *durable) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// PutContent stores a small file under its name.
func (d *durable) PutContent(ctx context.Context, name string, content []byte) error {
	if err := d.mkdirs(filepath.Dir(d.path(name))); err != nil {
		return err
	}
	return d.StorageDriver.PutContent(ctx, name, content)
}

// Writer begins or goes on with a file.
func (d *durable) Writer(ctx context.Context, name string, appending bool) (storagedriver.FileWriter, error) {
	if err := d.mkdirs(filepath.Dir(d.path(name))); err != nil {
		return nil, err
	}
	return d.StorageDriver.Writer(ctx, name, appending)
}

// Move renames a file.
func (d *durable) Move(ctx context.Context, from, to string) error {
	dir := filepath.Dir(d.path(to))
	if err := d.mkdirs(dir); err != nil {
		return err
	}
	if err := d.StorageDriver.Move(ctx, from, to); err != nil {
		return err
	}
	return syncDir(dir)
}

// mkdirs makes dir and its parents. A directory that exists was made durable
// by whoever made it, who held the lock, or by an earlier process, whose
// directories New synced.
func (d *durable) mkdirs(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return mkdirs(dir)
}

func mkdirs(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("making a directory: %s is a file", dir)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := mkdirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing a directory: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing a directory: %w", err)
	}
	return nil
}

// syncFilesystem makes everything below root durable that an earlier process
// left in memory.
func syncFilesystem(root string) error {
	if err := mkdirs(root); err != nil {
		return err
	}
	f, err := os.Open(root)
	if err != nil {
		return fmt.Errorf("syncing the registry: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing the registry: %w", err)
	}
	return nil
}
