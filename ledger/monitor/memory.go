package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// The files of a monitor's directory, beside lock and evidence.
const (
	memoryFile   = "verified.json" // what was verified last
	progressFile = "reading.json"  // how far the reading of the next got
	spoolFile    = "found"         // alerts about entries that are not told yet
)

const maxMemory = 1 << 20

// A memory is what is known of the log after a visit.
type memory struct {
	SchemaVersion int         `json:"schemaVersion"`
	Origin        string      `json:"origin"`
	Checkpoint    []byte      `json:"checkpoint"`     // the signed note; empty before the first visit
	Edge          client.Edge `json:"edge"`           // of its tree
	Grew          time.Time   `json:"grew"`           // when it was first seen
	Untold        int64       `json:"untold"`         // bytes of the spool that have to be told
	Final         bool        `json:"final,omitzero"` // the log was frozen with that checkpoint

	seen *ledger.Checkpoint // Checkpoint, opened; nil before the first visit
}

// A progress is how far the entries of a checkpoint were read. It counts only
// if the rest of them make the checkpoint's root.
type progress struct {
	SchemaVersion int         `json:"schemaVersion"`
	Checkpoint    []byte      `json:"checkpoint"`
	Edge          client.Edge `json:"edge"`
	Found         int64       `json:"found"` // bytes of the spool
}

// load reads what earlier visits left.
func (m *Monitor) load() (err error) {
	m.memory, m.told = &memory{SchemaVersion: 1}, map[string]bool{}
	if m.spool, err = openSpool(m.fs, m.path(spoolFile)); err != nil {
		return err
	}
	found, err := m.read(memoryFile, m.memory)
	if err != nil || !found || !m.trusts(m.memory.Origin) {
		return err
	}
	m.only(m.memory.Origin)
	if err := m.checkMemory(); err != nil {
		return fmt.Errorf("%s is damaged, or the log has another key now: %w", m.path(memoryFile), err)
	}
	return nil
}

func (m *Monitor) checkMemory() (err error) {
	if m.memory.seen, err = ledger.OpenCheckpoint(m.memory.Checkpoint, m.keys); err != nil {
		return err
	}
	root, err := m.memory.Edge.Root()
	if err != nil {
		return err
	}
	if m.memory.Edge.Size != m.memory.seen.Size || !bytes.Equal(root, m.memory.seen.Root) {
		return errors.New("edge and checkpoint are of two trees")
	}
	if m.memory.Untold < 0 || m.memory.Untold > m.spool.size {
		return fmt.Errorf("%d bytes were to be told, and there are %d", m.memory.Untold, m.spool.size)
	}
	return nil
}

func (m *Monitor) path(name string) string { return filepath.Join(m.dir, name) }

func (m *Monitor) read(name string, v any) (found bool, err error) {
	b, err := m.fs.ReadFile(m.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading what was seen of the log: %w", err)
	}
	if err := strictjson.Unmarshal(b, maxMemory, v); err != nil {
		return false, fmt.Errorf("reading %s: %w", m.path(name), err)
	}
	return true, nil
}

func (m *Monitor) write(name string, v any) error {
	b, err := strictjson.Canonical(v)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(m.fs, m.path(name+".new"), m.path(name), b); err != nil {
		m.broken = fmt.Errorf("%w: keeping what was seen of the log: %w", ErrBroken, err)
	}
	return m.broken
}

// begin returns where to read on from on the way to cp: as far as a visit got
// that ended before it could verify cp, else from the last one that did.
func (m *Monitor) begin(cp *ledger.Checkpoint) (*client.Edge, error) {
	var p progress
	found, err := m.read(progressFile, &p)
	if err != nil {
		m.o.Logger.Warn("what was read and not verified is lost", "error", err)
	}
	resumes := found && err == nil && bytes.Equal(p.Checkpoint, cp.Raw) && p.Edge.Size > m.memory.Edge.Size && p.Found >= 0 && p.Found <= m.spool.size
	if !resumes {
		p = progress{Edge: m.memory.Edge}
	}
	return &p.Edge, m.spool.cut(p.Found)
}

// unfinished returns the checkpoint that a visit that was broken off was on
// the way to; nil where there is none.
func (m *Monitor) unfinished() *ledger.Checkpoint {
	var p progress
	if found, err := m.read(progressFile, &p); err != nil || !found {
		return nil
	}
	cp, err := ledger.OpenCheckpoint(p.Checkpoint, m.keys)
	if err != nil || cp.Size <= m.memory.Edge.Size {
		return nil
	}
	return cp
}

// save keeps how far the reading of cp got.
func (m *Monitor) save(cp *ledger.Checkpoint, e *client.Edge) error {
	if err := m.spool.sync(); err != nil {
		return err
	}
	return m.write(progressFile, &progress{SchemaVersion: 1, Checkpoint: cp.Raw, Edge: *e, Found: m.spool.size})
}

// commit remembers cp, which was verified: the point of no return. What was
// found of its entries is told from here on.
func (m *Monitor) commit(cp *ledger.Checkpoint, e *client.Edge) error {
	if err := m.spool.sync(); err != nil {
		return err
	}
	next := &memory{
		SchemaVersion: 1, Origin: cp.Origin, Checkpoint: cp.Raw, Edge: *e,
		Grew: time.Now().UTC().Truncate(time.Second), Untold: m.spool.size, Final: m.frozen, seen: cp,
	}
	if err := m.write(memoryFile, next); err != nil {
		return err
	}
	m.memory = next
	return m.forget()
}

// end remembers that the log is frozen as it was seen.
func (m *Monitor) end() error {
	if !m.frozen || m.memory.Final {
		return nil
	}
	ended := *m.memory
	ended.Final = true
	if err := m.write(memoryFile, &ended); err != nil {
		return err
	}
	m.memory = &ended
	return nil
}

// forget takes away how far the reading got.
func (m *Monitor) forget() error {
	if err := m.fs.Remove(m.path(progressFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting how far the reading got: %w", err)
	}
	return nil
}
