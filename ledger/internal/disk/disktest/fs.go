package disktest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// Mkdir implements [disk.FS].
func (f *FS) Mkdir(dir string) error {
	return f.do("mkdir", dir, func() error {
		p, base, err := f.parent(dir)
		if err != nil || base == "/" {
			return err
		}
		if n := p.names[base]; n != nil {
			if !n.dir() {
				return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
			}
			return nil
		}
		p.names[base] = newDir()
		return nil
	})
}

// Create implements [disk.FS].
func (f *FS) Create(name string) (disk.File, error) {
	var n *node
	err := f.do("create", name, func() error {
		p, base, err := f.parent(name)
		if err != nil {
			return err
		}
		if n = p.names[base]; n == nil {
			n = &node{}
			p.names[base] = n
		}
		n.change(change{truncate: true})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &file{f, n, name}, nil
}

// Open implements [disk.FS].
func (f *FS) Open(name string) (disk.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return &file{f, n, name}, nil
}

// ReadFile implements [disk.FS].
func (f *FS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.data), nil
}

// ReadDir implements [disk.FS].
func (f *FS) ReadDir(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(dir)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.names)), nil
}

// Rename implements [disk.FS].
func (f *FS) Rename(from, to string) error {
	return f.do("rename", to, func() error {
		p, base, err := f.parent(from)
		if err != nil {
			return err
		}
		q, target, err := f.parent(to)
		if err != nil {
			return err
		}
		n := p.names[base]
		if n == nil {
			return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
		}
		delete(p.names, base)
		q.names[target] = n
		return nil
	})
}

// Remove implements [disk.FS].
func (f *FS) Remove(name string) error {
	return f.do("remove", name, func() error {
		p, base, err := f.parent(name)
		if err != nil {
			return err
		}
		if p.names[base] == nil {
			return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
		}
		delete(p.names, base)
		return nil
	})
}

// SyncDir implements [disk.FS].
func (f *FS) SyncDir(dir string) error {
	return f.do("syncdir", dir, func() error {
		n, err := f.find(dir)
		if err != nil {
			return err
		}
		n.durableNames = maps.Clone(n.names)
		return nil
	})
}

// Lock implements [disk.FS].
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locks[name] {
		return nil, fmt.Errorf("%s: %w", name, disk.ErrLocked)
	}
	f.locks[name] = true
	return &lock{f, name}, nil
}

type lock struct {
	f    *FS
	name string
}

func (l *lock) Close() error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	delete(l.f.locks, l.name)
	return nil
}

type file struct {
	f    *FS
	n    *node
	name string
}

func (n *node) change(c change) {
	n.data = c.apply(n.data)
	n.pending = append(n.pending, c)
}

func (w *file) WriteAt(b []byte, at int64) (int, error) {
	written := 0
	write := func(n int) {
		w.n.change(change{at: at, data: slices.Clone(b[:n])})
		written = n
	}
	err := w.f.doHalf("write", w.name,
		func() error { write(len(b)); return nil },
		func() { write(len(b) / 2) })
	return written, err
}

func (w *file) Truncate(size int64) error {
	return w.f.do("truncate", w.name, func() error {
		w.n.change(change{at: size, truncate: true})
		return nil
	})
}

// Sync, when it fails, fails for good: what it did not write is forgotten.
func (w *file) Sync() error {
	forget := func() { w.n.pending = nil }
	flush := func() error {
		for _, c := range w.n.pending {
			w.n.durable = c.apply(w.n.durable)
		}
		forget()
		return nil
	}
	err := w.f.do("sync", w.name, flush)
	if err != nil && !errors.Is(err, ErrDead) {
		w.f.mu.Lock()
		defer w.f.mu.Unlock()
		forget()
	}
	return err
}

func (w *file) Close() error { return nil }
