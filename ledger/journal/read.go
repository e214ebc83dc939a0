package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sort"

	"github.com/patchfit/patchfit/ledger"
)

// Records returns the applied records from sequence from on, sealed or not, in
// order, up to the newest there is when it gets there. Sealed segments are
// verified as they are read. An error ends it.
func (j *Journal) Records(from int64) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for next := max(from, 1); ; {
			records, err := j.after(next)
			if err != nil {
				yield(ledger.Record{}, fmt.Errorf("reading the journal: %w", err))
				return
			}
			if len(records) == 0 {
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			next = records[len(records)-1].Sequence + 1
		}
	}
}

// after returns the applied records from next on of the segment next is in;
// none if there is no such record.
func (j *Journal) after(next int64) ([]ledger.Record, error) {
	for {
		records, last, err := j.holding(next)
		if errors.Is(err, fs.ErrNotExist) && j.isSealed(next) {
			continue // sealed between looking and reading
		}
		if err != nil || len(records) == 0 {
			return nil, err
		}
		from, to := next-records[0].Sequence, last-records[0].Sequence+1
		if from < 0 || from >= int64(len(records)) {
			return nil, fmt.Errorf("record %d is not where it belongs", next)
		}
		return records[from:min(to, int64(len(records)))], nil
	}
}

func (j *Journal) isSealed(sequence int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return sequence <= j.sealed()
}

// holding returns all records of the segment that sequence is in, and the
// newest sequence there is. The newest record alone is in memory: whoever
// follows the journal looks at it again and again.
func (j *Journal) holding(sequence int64) ([]ledger.Record, int64, error) {
	j.mu.Lock()
	newest, seals, s := j.last, j.seals, j.openHolding(sequence)
	j.mu.Unlock()
	last := newest.Sequence
	switch {
	case sequence > last:
		return nil, last, nil
	case sequence == last:
		return []ledger.Record{newest}, last, nil
	}
	if s != nil {
		records, err := j.readOpen(s)
		return records, last, err
	}
	i := sort.Search(len(seals), func(i int) bool { return seals[i].Statement.Last >= sequence })
	records, err := j.readSealed(seals, i)
	return records, last, err
}

// openHolding returns a copy of what a reader needs of the open segment that
// sequence is in; nil for none. j.mu is held.
func (j *Journal) openHolding(sequence int64) *segment {
	for _, s := range j.open {
		if s.first <= sequence && sequence <= s.last {
			return &segment{number: s.number, first: s.first, last: s.last, size: s.size, name: s.name}
		}
	}
	return nil
}

// readOpen returns the committed records of a segment that is not sealed.
func (j *Journal) readOpen(s *segment) ([]ledger.Record, error) {
	b, err := j.fs.ReadFile(s.name)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) < s.size {
		return nil, fmt.Errorf("%s: %d bytes of %d", s.name, len(b), s.size)
	}
	frames, end, _, err := scan(b[:s.size])
	if err == nil && end != s.size {
		err = fmt.Errorf("damaged at byte %d of %d", end, s.size)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	records, err := parseAll(frames)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return records, checkSpan(s, records)
}

func parseAll(frames [][]byte) ([]ledger.Record, error) {
	records := make([]ledger.Record, len(frames))
	for i, f := range frames {
		r, err := ledger.ParseRecord(f)
		if err != nil {
			return nil, fmt.Errorf("record %d of the file: %w", i, err)
		}
		records[i] = r
	}
	return records, nil
}

func checkSpan(s *segment, records []ledger.Record) error {
	if len(records) == 0 || records[0].Sequence != s.first || records[len(records)-1].Sequence != s.last {
		return fmt.Errorf("%s does not hold records %d to %d", s.name, s.first, s.last)
	}
	return nil
}

// readSealed returns the records of seals[i] if bytes, root, chain and
// signature hold.
func (j *Journal) readSealed(seals []Seal, i int) ([]ledger.Record, error) {
	seal := &seals[i]
	records, err := j.verifySealed(seals, i)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", seal.Statement.Number, err)
	}
	return records, nil
}

func (j *Journal) verifySealed(seals []Seal, i int) ([]ledger.Record, error) {
	b, err := j.store.Get(seals[i].Segment)
	if err != nil {
		return nil, err
	}
	records, err := ledger.ParseSegment(b)
	if err != nil {
		return nil, err
	}
	var previous *ledger.SegmentStatement
	if i > 0 {
		previous = &seals[i-1].Statement
	}
	if err := seals[i].Statement.Covers(previous, records); err != nil {
		return nil, err
	}
	envelope, err := j.store.Get(seals[i].Envelope)
	if err != nil {
		return nil, err
	}
	return records, j.checkEnvelope(envelope, &seals[i].Statement)
}

// Verify reads everything: of each sealed segment the bytes, the root
// recomputed, the chain of roots, the signature; of the rest the frames; of
// all, that sequences have no gap and times do not go back.
func (j *Journal) Verify(ctx context.Context) error {
	var last ledger.Record
	for r, err := range j.Records(1) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = ledger.Follows(r, last.Sequence+1, last.Time)
		}
		if err != nil {
			return fmt.Errorf("verifying the journal: %w", err)
		}
		last = r
	}
	return nil
}
