package monitor

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

// maxSize is the largest log that is believed to be one.
const maxSize = 1 << 48

// Visit reads what is new in the log and tells of what it is caught at. The
// error is about the visit: nobody answers, the disk is full. What the log did
// is in the alerts; the report counts them.
func (m *Monitor) Visit(ctx context.Context) (*Report, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	return m.during(ctx, m.visit)
}

// unvisited is a visit to a log that does not answer.
func (m *Monitor) unvisited(ctx context.Context) (*Report, error) {
	return m.during(ctx, func(context.Context, *Report) error { return nil })
}

func (m *Monitor) during(ctx context.Context, visit func(context.Context, *Report) error) (*Report, error) {
	r := &Report{SchemaVersion: 1}
	m.now = map[string]bool{}
	final := m.memory.Final
	err := m.tellFound(ctx, r) // what a crash kept from being told
	if err == nil {
		err = visit(ctx, r)
	}
	if ctx.Err() == nil {
		err = errors.Join(err, m.askAge(ctx, r))
	}
	m.told = m.now
	r.Ended = m.memory.Final && !final
	r.Origin, r.Frozen, r.Size, r.Grew = m.memory.Origin, m.frozen, m.memory.Edge.Size, m.memory.Grew
	if m.memory.seen != nil {
		r.Root = hex.EncodeToString(m.memory.seen.Root)
	}
	return r, err
}

func (m *Monitor) visit(ctx context.Context, r *Report) error {
	limited, cancel := context.WithTimeout(ctx, m.o.Longest)
	defer cancel()
	if seen := m.memory.seen; seen != nil {
		r.Before = &seen.Size
	}
	if err := m.finish(limited, r); err != nil {
		return m.tooLong(ctx, limited, r, err)
	}
	cp, sightings, err := m.latest(limited, r)
	if err != nil || cp == nil {
		return err
	}
	if cp.Size > maxSize {
		return m.unreadable(ctx, r, cp, fmt.Errorf("%w: %d entries are no log's", ledger.ErrTampered, cp.Size))
	}
	if seen := m.memory.seen; seen != nil {
		if err := seen.Precedes(cp); err != nil {
			return m.refuse(limited, r, seen, cp, err)
		}
		if m.memory.Final && (!m.frozen || seen.Size < cp.Size) {
			return m.thawed(ctx, r, seen, cp)
		}
	}
	proofs := m.log.Proofs(limited, cp)
	if m.memory.seen != nil && m.memory.seen.Size < cp.Size {
		if ok, err := m.continues(ctx, r, cp, proofs); err != nil || !ok {
			return err
		}
	}
	if err := m.compareWitnesses(ctx, r, cp, sightings, proofs); err != nil {
		return err
	}
	if m.memory.seen != nil && m.memory.seen.Size == cp.Size {
		return m.end()
	}
	if err := m.readNew(limited, r, cp); err != nil {
		return m.tooLong(ctx, limited, r, m.unreadable(ctx, r, cp, err))
	}
	return m.tellFound(ctx, r)
}

// finish reads to its end what a visit began that was broken off. What comes of
// a log that does not let it is found by reading it anew.
func (m *Monitor) finish(ctx context.Context, r *Report) error {
	cp := m.unfinished()
	if cp == nil {
		return nil
	}
	err := m.readNew(ctx, r, cp)
	if errors.Is(err, ledger.ErrTampered) {
		m.o.Logger.Warn("what was half read cannot be read to its end", "size", cp.Size, "error", err)
		return m.forget()
	}
	if err != nil {
		return err
	}
	return m.tellFound(ctx, r)
}

// tooLong makes the end of a visit's time an alert.
func (m *Monitor) tooLong(ctx, limited context.Context, r *Report, err error) error {
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	return m.alert(ctx, r, Alert{Alert: Unfinished, Text: fmt.Sprintf("reading what is new took longer than %s; the next visit goes on", m.o.Longest)})
}

// latest returns the log's checkpoint, and what the witnesses saw before it was
// asked for: a log that shows less is given time to publish what they cosigned.
// Nil: there is none that can be compared, and that was told.
func (m *Monitor) latest(ctx context.Context, r *Report) (*ledger.Checkpoint, []sighting, error) {
	origin := m.keys[0].Origin
	if m.memory.Origin != "" {
		origin = m.memory.Origin
	}
	sightings := m.askWitnesses(ctx, origin)
	cp, err := m.checkpoint(ctx, r)
	for wait := m.o.Lag / 5; err == nil && cp != nil && cp.Size < furthest(sightings) && wait <= m.o.Lag; wait += m.o.Lag / 5 {
		if err := pause(ctx, m.o.Lag/5); err != nil {
			return nil, nil, err
		}
		cp, err = m.checkpoint(ctx, r)
	}
	if err != nil || cp == nil {
		return nil, nil, err
	}
	if err := m.witnessed(ctx, r, cp); err != nil {
		return nil, nil, err
	}
	return cp, sightings, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkpoint returns the log's checkpoint; nil where no trusted key signed it.
func (m *Monitor) checkpoint(ctx context.Context, r *Report) (*ledger.Checkpoint, error) {
	raw, err := m.log.RawCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	cp, err := ledger.OpenCheckpoint(raw, m.keys)
	if err == nil {
		return cp, nil
	}
	if !errors.Is(err, ledger.ErrUnsigned) && !errors.Is(err, ledger.ErrTampered) {
		return nil, err
	}
	if _, other := ledger.OpenCheckpoint(raw, m.others); other == nil && !m.frozen {
		return nil, errRotated
	}
	files, kerr := m.keep(Unsigned, nil, raw)
	if kerr != nil {
		return nil, kerr
	}
	return nil, m.alert(ctx, r, Alert{Alert: Unsigned, Text: err.Error(), Evidence: files})
}

// witnessed asks for the quorum.
func (m *Monitor) witnessed(ctx context.Context, r *Report, cp *ledger.Checkpoint) error {
	if m.o.Policy == nil {
		return nil
	}
	_, err := m.o.Policy.Check(cp.Raw)
	if err == nil {
		return nil
	}
	files, kerr := m.keep(Unseen, nil, cp.Raw)
	if kerr != nil {
		return kerr
	}
	return m.alert(ctx, r, Alert{Alert: Unseen, Origin: cp.Origin, Text: err.Error(), Evidence: files})
}

// refuse tells that cp contradicts what was seen. What is remembered stays. Of
// fewer entries the edge tells whether they are those that were seen.
func (m *Monitor) refuse(ctx context.Context, r *Report, seen, cp *ledger.Checkpoint, why error) error {
	kind := SplitView
	if errors.Is(why, ledger.ErrRolledBack) {
		kind = RolledBack
	}
	if from, to, err := m.log.Proofs(ctx, cp).Differs(&m.memory.Edge); err == nil && from < to {
		kind, why = SplitView, fmt.Errorf("%w; entries from %d to %d are not what they were", why, from, to-1)
	}
	return m.against(ctx, r, kind, seen, cp, why.Error())
}

// continues asks whether the first entries of cp are those that were seen. The
// hashes this takes are verified to lead to cp's own root, so what they say of
// another history the log itself has signed.
func (m *Monitor) continues(ctx context.Context, r *Report, cp *ledger.Checkpoint, proofs *client.Proofs) (bool, error) {
	seen := m.memory.seen
	root, err := proofs.Root(seen.Size)
	if err != nil {
		return false, m.unreadable(ctx, r, cp, err)
	}
	if bytes.Equal(root, seen.Root) {
		return true, nil
	}
	text := fmt.Sprintf("%v: the first %d entries have the root %x now, %x before", ledger.ErrForked, seen.Size, root, seen.Root)
	if from, to, err := proofs.Differs(&m.memory.Edge); err == nil && from < to {
		text += fmt.Sprintf("; entries from %d to %d are not what they were", from, to-1)
	}
	return false, m.against(ctx, r, SplitView, seen, cp, text)
}

// readNew reads the entries of cp that are new, and remembers cp.
func (m *Monitor) readNew(ctx context.Context, r *Report, cp *ledger.Checkpoint) error {
	from, err := m.begin(cp)
	if err != nil {
		return err
	}
	edge, err := m.log.Follow(ctx, cp, from, client.Following{
		Visit: func(index uint64, leaf []byte) error {
			if index%256 == 0 {
				m.o.Progress(index, cp.Size)
			}
			return m.look(cp.Origin, index, leaf)
		},
		Save: func(e *client.Edge) error { return m.save(cp, e) },
	})
	if err != nil {
		return err
	}
	r.Entries += cp.Size - m.memory.Edge.Size
	return m.commit(cp, edge)
}

// unreadable tells that the log does not hold what cp says; other errors it
// returns. What was read on the way counts no more.
func (m *Monitor) unreadable(ctx context.Context, r *Report, cp *ledger.Checkpoint, why error) error {
	if !errors.Is(why, ledger.ErrTampered) {
		return why
	}
	if err := m.forget(); err != nil {
		return err
	}
	kind := Replaced
	if errors.Is(why, client.ErrMissing) {
		kind = Missing
	}
	files, err := m.keep(kind, nil, cp.Raw)
	if err != nil {
		return err
	}
	return m.alert(ctx, r, Alert{Alert: kind, Origin: cp.Origin, Text: why.Error(), Evidence: files})
}

// askAge tells that the log has not grown for too long.
func (m *Monitor) askAge(ctx context.Context, r *Report) error {
	if m.o.MaxAge == 0 || m.frozen || m.memory.seen == nil || time.Since(m.memory.Grew) <= m.o.MaxAge {
		return nil
	}
	return m.alert(ctx, r, Alert{Alert: Stale, Text: fmt.Sprintf("the log has %d entries since %s", m.memory.seen.Size, m.memory.Grew.Format(time.RFC3339))})
}
