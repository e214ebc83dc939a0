package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// logsDir has the directories of logs besides the one that was followed first,
// each called as its origin.
const logsDir = "logs"

// errRotated reports a server whose log was frozen while it was asked.
var errRotated = errors.New("another log took over during this visit")

// Shards follow all logs of a server (docs/log-backends.md, "Shards"), with a
// [Monitor] for each: the log that takes entries, and those that took them before,
// which have to stay as they were when they ended. Whatever is trusted and the
// server shows is followed; what was followed once has to stay.
type Shards struct {
	fs    disk.FS
	c     Config
	o     *Options
	first *Monitor            // of the directory itself; it holds the lock
	all   map[string]*Monitor // by origin
	told  map[string]bool     // alerts of the visit before that are of no log
}

// OpenShards opens the monitors that remember in c.Dir. One process at a time may.
func OpenShards(c Config, o *Options) (*Shards, error) { return openShards(disk.OS{}, c, o) }

func openShards(fsys disk.FS, c Config, o *Options) (*Shards, error) {
	first, err := open(fsys, c, o)
	if err != nil {
		return nil, err
	}
	s := &Shards{fs: fsys, c: c, o: o, first: first, all: map[string]*Monitor{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// load opens what there is of earlier visits. A log that is trusted no more is
// left alone.
func (s *Shards) load() error {
	if origin := s.first.memory.Origin; s.first.trusts(origin) {
		s.all[origin] = s.first
	}
	names, err := s.fs.ReadDir(filepath.Join(s.c.Dir, logsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("opening the monitor: %w", err)
	}
	for _, name := range names {
		if !s.first.trusts(name) {
			s.first.o.Logger.Warn("a log that was followed is not trusted any more", "log", name)
			continue
		}
		if _, err := s.of(name); err != nil {
			return err
		}
	}
	return nil
}

// of returns the monitor of a log, which is opened where it is new.
func (s *Shards) of(origin string) (*Monitor, error) {
	if m := s.all[origin]; m != nil {
		return m, nil
	}
	if s.first.memory.Origin == "" && len(s.all) == 0 {
		s.first.only(origin)
		s.all[origin] = s.first
		return s.first, nil
	}
	c := s.c
	c.Dir = filepath.Join(c.Dir, logsDir, origin)
	m, err := open(s.fs, c, s.o)
	if err != nil {
		return nil, err
	}
	m.only(origin)
	s.all[origin] = m
	return m, nil
}

// Close lets another process open the directory.
func (s *Shards) Close() error {
	var errs []error
	for _, m := range s.all {
		if m != s.first {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(append(errs, s.first.Close())...)
}

// Visit visits every log, as [Monitor.Visit] does. The reports are of frozen logs,
// oldest first, and then of the current one.
func (s *Shards) Visit(ctx context.Context) ([]*Report, error) {
	reports, err := s.visit(ctx)
	if errors.Is(err, errRotated) {
		return s.visit(ctx)
	}
	return reports, err
}

func (s *Shards) visit(ctx context.Context) ([]*Report, error) {
	logs, err := s.c.Log.Shards(ctx, s.c.TrustedRoot)
	if err != nil {
		return s.unanswered(ctx, err)
	}
	current, err := s.current(logs)
	if err != nil {
		return nil, err
	}
	var reports []*Report
	var errs []error
	see := func(m *Monitor, log *client.Client, frozen bool, visit func(context.Context) (*Report, error)) *Report {
		m.log, m.frozen = log, frozen
		r, err := visit(ctx)
		if r != nil {
			reports = append(reports, r)
		}
		errs = append(errs, err)
		return r
	}
	for _, l := range logs.Frozen {
		m, err := s.of(l.Origin)
		if err != nil {
			return reports, err
		}
		see(m, l.Log, true, m.Visit)
	}
	var absent []string
	for _, l := range logs.Absent {
		switch m := s.all[l.Origin]; {
		case m == nil || m.memory.seen == nil:
			absent = append(absent, l.Origin)
		case m != current:
			see(m, l.Log, true, m.lost)
		}
	}
	switch {
	case current != nil:
		if r := see(current, s.c.Log, false, current.Visit); r != nil {
			r.Absent = absent
		}
	case logs.Raw != nil:
		r, err := s.strange(ctx, logs.Raw)
		reports, errs = append(reports, r), append(errs, err)
	default:
		errs = append(errs, errNone)
	}
	return reports, errors.Join(errs...)
}

// unanswered tells what there is to tell where nobody answers.
func (s *Shards) unanswered(ctx context.Context, why error) (reports []*Report, err error) {
	errs := []error{why}
	for _, m := range s.all {
		if m.memory.Final {
			continue
		}
		r, err := m.unvisited(ctx)
		reports, errs = append(reports, r), append(errs, err)
	}
	return reports, errors.Join(errs...)
}

var errNone = errors.New("the server shows no checkpoint of a log that takes entries")

// current returns the monitor of the log that takes entries. Where the server
// shows none that is trusted, it is the one that did, which tells what is wrong;
// nil: there is none.
func (s *Shards) current(logs *client.Shards) (*Monitor, error) {
	if logs.Current != nil {
		return s.of(logs.Current.Origin)
	}
	if logs.Raw == nil {
		return nil, nil // a log that has begun may have no entry yet
	}
	for _, l := range slices.Backward(logs.Absent) {
		if m := s.all[l.Origin]; m != nil && !m.memory.Final {
			return m, nil
		}
	}
	if len(s.all) == 0 && len(logs.Frozen) == 0 {
		return s.of(logs.Absent[0].Origin)
	}
	return nil, nil
}

// strange tells of a checkpoint of no trusted log.
func (s *Shards) strange(ctx context.Context, raw []byte) (*Report, error) {
	m := &Monitor{fs: s.fs, dir: s.c.Dir, tell: s.c.Tell, memory: &memory{}, told: s.told, now: map[string]bool{}}
	r := &Report{SchemaVersion: 1}
	_, why := ledger.OpenCheckpoint(raw, s.first.others)
	files, err := m.keep(Unsigned, nil, raw)
	if err == nil && why != nil {
		err = m.alert(ctx, r, Alert{Alert: Unsigned, Text: why.Error(), Evidence: files})
	}
	s.told = m.now
	return r, err
}

// A Verified is a log as it was verified last.
type Verified struct {
	Key        ledger.LogKey
	Checkpoint *ledger.Checkpoint
	Log        *client.Client
}

// Verified returns the logs that were verified, oldest first.
func (s *Shards) Verified() (all []Verified) {
	for _, m := range s.all {
		if m.memory.seen != nil {
			all = append(all, Verified{m.keys[0], m.memory.seen, m.log})
		}
	}
	slices.SortFunc(all, func(a, b Verified) int {
		return cmp.Or(a.Key.Start.Compare(b.Key.Start), cmp.Compare(a.Key.Origin, b.Key.Origin))
	})
	return all
}

// trusts reports whether a log of that name is trusted.
func (m *Monitor) trusts(origin string) bool {
	return slices.ContainsFunc(m.others, func(k ledger.LogKey) bool { return k.Origin == origin })
}

// only lets m follow one log of those that are trusted.
func (m *Monitor) only(origin string) {
	m.keys = slices.DeleteFunc(slices.Clone(m.others), func(k ledger.LogKey) bool { return k.Origin != origin })
}

// thawed tells of a log that had ended and goes on. What it was is remembered.
func (m *Monitor) thawed(ctx context.Context, r *Report, seen, cp *ledger.Checkpoint) error {
	text := fmt.Sprintf("the log ended with %d entries, and another took over; now it has %d", seen.Size, cp.Size)
	if !m.frozen {
		text += ", and is the one that takes entries"
	}
	return m.against(ctx, r, Thawed, seen, cp, text)
}

// lost tells of a log that was followed, and that the server does not show any
// more.
func (m *Monitor) lost(ctx context.Context) (*Report, error) {
	r := &Report{SchemaVersion: 1, Origin: m.memory.Origin, Frozen: m.memory.Final, Size: m.memory.Edge.Size, Grew: m.memory.Grew, Before: &m.memory.Edge.Size}
	m.now = map[string]bool{}
	err := m.alert(ctx, r, Alert{Alert: Missing, Text: fmt.Sprintf("the log, of which %d entries were seen, is not there any more", m.memory.Edge.Size)})
	m.told = m.now
	return r, err
}
