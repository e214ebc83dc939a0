package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// A spool holds alerts about entries, a line each, until the checkpoint that
// has the entries is verified: there may be more of them than memory.
type spool struct {
	fs   disk.FS
	name string
	file disk.File
	size int64  // of what is in the file or in wait
	wait []byte // not written yet
}

const (
	spoolBuffer = 64 << 10
	maxAlert    = 64 << 10
)

func openSpool(fsys disk.FS, name string) (*spool, error) {
	s := &spool{fs: fsys, name: name}
	b, err := fsys.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.file, err = fsys.Create(name)
	case err == nil:
		s.size = int64(len(b))
		s.file, err = fsys.Open(name)
	}
	if err != nil {
		return nil, fmt.Errorf("opening what was found and not told: %w", err)
	}
	return s, nil
}

func (s *spool) close() error { return s.file.Close() }

// cut takes away what is behind size.
func (s *spool) cut(size int64) error {
	s.wait = nil
	if err := s.file.Truncate(size); err != nil {
		return fmt.Errorf("emptying what was found and is told: %w", err)
	}
	s.size = size
	return nil
}

func (s *spool) add(a Alert) error {
	b, err := strictjson.Canonical(a)
	if err != nil {
		return err
	}
	s.wait = append(append(s.wait, b...), '\n')
	s.size += int64(len(b)) + 1
	if len(s.wait) < spoolBuffer {
		return nil
	}
	return s.flush()
}

func (s *spool) flush() error {
	if _, err := s.file.WriteAt(s.wait, s.size-int64(len(s.wait))); err != nil {
		return fmt.Errorf("keeping what was found: %w", err)
	}
	s.wait = s.wait[:0]
	return nil
}

func (s *spool) sync() error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("keeping what was found: %w", err)
	}
	return nil
}

// tellFound tells what the last verified visit found of entries, and then
// forgets it.
func (m *Monitor) tellFound(ctx context.Context, r *Report) error {
	if m.memory.Untold == 0 {
		return nil
	}
	b, err := m.fs.ReadFile(m.path(spoolFile))
	if err != nil {
		return fmt.Errorf("reading what was found: %w", err)
	}
	for line := range bytes.Lines(b[:min(m.memory.Untold, int64(len(b)))]) {
		var a Alert
		if err := strictjson.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), maxAlert, &a); err != nil {
			return fmt.Errorf("reading what was found, %s: %w", m.path(spoolFile), err)
		}
		r.Alerts++
		r.Breach = r.Breach || a.Alert.Breach()
		if err := m.tell(ctx, a); err != nil {
			return err
		}
	}
	told := *m.memory
	told.Untold = 0
	if err := m.write(memoryFile, &told); err != nil {
		return err
	}
	m.memory = &told
	return m.spool.cut(0)
}
