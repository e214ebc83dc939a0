package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// Keep says which roots stay in a cache. Zero values keep all.
type Keep struct {
	Age   time.Duration // those used since; older ones go
	Bytes int64         // no more than this; those used longest ago go first
}

// A kept root is one that can be collected.
type kept struct {
	key   string
	used  time.Time
	bytes int64
}

// Collect takes roots away, but for those in use, and what crashes left. It
// returns how many bytes of files went.
func (c *Cache) Collect(ctx context.Context, now time.Time, k Keep) (freed int64, err error) {
	all, err := c.kept()
	if err != nil {
		return 0, fmt.Errorf("cache of builder images: %w", err)
	}
	total := int64(0)
	for _, r := range all {
		total += r.bytes
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, r := range all {
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		old := k.Age > 0 && now.Sub(r.used) > k.Age
		if !old && (k.Bytes <= 0 || total <= k.Bytes) {
			continue
		}
		went, err := c.take(r.key)
		if err != nil {
			return freed, fmt.Errorf("cache of builder images: %w", err)
		}
		if went {
			freed += r.bytes
			total -= r.bytes
		}
	}
	return freed, c.tidy()
}

func (c *Cache) kept() ([]kept, error) {
	entries, err := os.ReadDir(filepath.Join(c.dir, rootsDir))
	if err != nil {
		return nil, err
	}
	var all []kept
	for _, e := range entries {
		r := kept{key: e.Name()}
		b, err := os.ReadFile(filepath.Join(c.dir, rootsDir, r.key, "about.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went
		}
		if err != nil {
			return nil, err
		}
		var a about
		if err := strictjson.Unmarshal(b, maxMetadata, &a); err != nil {
			return nil, fmt.Errorf("%s: %w", r.key, err)
		}
		r.bytes = a.Bytes
		info, err := os.Stat(filepath.Join(c.dir, locksDir, r.key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			r.used = info.ModTime()
		}
		all = append(all, r)
	}
	return all, nil
}

// take removes a root and what is left of unpacking it, unless somebody has it.
func (c *Cache) take(key string) (went bool, err error) {
	name := filepath.Join(c.dir, locksDir, key)
	info, statErr := os.Stat(name)
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if again, err := os.Stat(name); statErr == nil && err == nil && !again.ModTime().Equal(info.ModTime()) {
		return false, nil // used meanwhile
	}
	aside := filepath.Join(c.dir, newDir, key)
	if err := removeTree(aside); err != nil {
		return false, err
	}
	// At once, and then bit by bit: a crash leaves no part of a root.
	if err := os.Rename(filepath.Join(c.dir, rootsDir, key), aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, removeTree(aside)
}

// tidy removes what crashes left.
func (c *Cache) tidy() error {
	entries, err := os.ReadDir(filepath.Join(c.dir, newDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(c.dir, rootsDir, e.Name())); err == nil {
			continue // its root is whole: whoever removes that removes this
		}
		if _, err := c.take(e.Name()); err != nil {
			return err
		}
	}
	return nil
}
