package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

// restore reads what is there and applies every record. It runs before any
// goroutine does.
func (j *Journal) restore() error {
	if err := j.prepare(); err != nil {
		return err
	}
	if err := j.recoverSeals(); err != nil {
		return err
	}
	numbers, err := j.segmentNumbers()
	if err != nil {
		return err
	}
	if err := j.compareWithLog(numbers); err != nil {
		return err
	}
	if err := j.replaySealed(); err != nil {
		return err
	}
	previous := j.newestStatement()
	for _, n := range numbers {
		if n <= int64(len(j.seals)) {
			// A crash came between a seal and its tidying.
			err = j.tidy(n)
		} else {
			previous, err = j.recoverSegment(n, previous)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare takes the directory and the key.
func (j *Journal) prepare() error {
	if err := disk.MkdirAll(j.fs, j.dir); err != nil {
		return err
	}
	lock, err := j.fs.Lock(filepath.Join(j.dir, lockName))
	if err != nil {
		return err
	}
	j.lock = lock
	public, err := j.signer.PublicKey()
	if err != nil {
		return fmt.Errorf("the journal's key: %w", err)
	}
	if j.key, err = attest.NewPublicKey(public); err != nil {
		return fmt.Errorf("the journal's key: %w", err)
	}
	return nil
}

func (j *Journal) recoverSeals() error {
	name := filepath.Join(j.dir, sealsName)
	t, frames, err := openTrail(j.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		t, err = createTrail(j.fs, name)
	}
	if err != nil {
		return err
	}
	j.sealFile = t
	for i, b := range frames {
		var s Seal
		if err := strictjson.Unmarshal(b, ledger.MaxRecord, &s); err != nil {
			return fmt.Errorf("%s: seal %d: %w", name, i+1, err)
		}
		if s.Statement.Number != int64(i)+1 {
			return fmt.Errorf("%s: seal %d stands where seal %d belongs", name, s.Statement.Number, i+1)
		}
		j.seals = append(j.seals, s)
	}
	return nil
}

// segmentNumbers returns the numbers of all segments and statements that have
// a file, in order, and sees to it that none between the sealed ones and the
// newest is missing.
func (j *Journal) segmentNumbers() ([]int64, error) {
	names, err := j.fs.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var numbers []int64
	has := make(map[int64]bool)
	for _, name := range names {
		base, isSeal := strings.CutSuffix(name, sealSuffix)
		base, isSegment := strings.CutSuffix(base, segmentSuffix)
		n, err := strconv.ParseInt(base, 10, 64)
		if err != nil || isSeal == isSegment {
			continue
		}
		has[n] = has[n] || isSegment
		if len(numbers) == 0 || numbers[len(numbers)-1] != n {
			numbers = append(numbers, n)
		}
	}
	j.next = int64(len(j.seals)) + 1
	for _, n := range numbers {
		if n < j.next {
			continue
		}
		if n != j.next || !has[n] {
			return nil, fmt.Errorf("%s is missing", j.segmentName(j.next))
		}
		j.next++
	}
	return numbers, nil
}

// compareWithLog asks the log how many segments were sealed. A segment whose
// statement was signed may be there already; no other can be.
func (j *Journal) compareWithLog(numbers []int64) error {
	sealed, staged := int64(len(j.seals)), int64(0)
	for _, n := range numbers {
		_, err := j.fs.ReadFile(j.sealName(n))
		if n > sealed && err == nil {
			staged++
		}
	}
	switch logged := j.log.Count(j.key.ID()); {
	case logged > sealed+staged:
		return fmt.Errorf("%w: the log holds %d sealed segments, the journal knows %d; restore the journal directory from its newest backup", ErrRolledBack, logged, sealed+staged)
	case logged < sealed:
		return fmt.Errorf("%w: the journal knows %d sealed segments, the log holds %d; restore the log directory from its newest backup", ErrRolledBack, sealed, logged)
	}
	return nil
}

// replaySealed applies the records of all sealed segments, verified.
func (j *Journal) replaySealed() error {
	for i := range j.seals {
		records, err := j.readSealed(j.seals, i)
		if err != nil {
			return err
		}
		if err := j.replay(records); err != nil {
			return err
		}
	}
	return nil
}

// recoverSegment makes a segment file whole, applies its records, leaves it
// to the sealer, and returns what will be said of it.
func (j *Journal) recoverSegment(n int64, previous *ledger.SegmentStatement) (*ledger.SegmentStatement, error) {
	s := &segment{number: n, first: j.last.Sequence + 1, name: j.segmentName(n), closed: true}
	records, err := j.mendSegment(s)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return previous, j.recoverEmpty(s)
	}
	if err := j.replay(records); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	s.last = j.last.Sequence
	j.open = append(j.open, s)
	statement, err := ledger.NewSegmentStatement(previous, records)
	if err != nil {
		return nil, err
	}
	return statement, j.checkStaged(s, statement)
}

// mendSegment returns the records of a segment file, all durable now.
func (j *Journal) mendSegment(s *segment) ([]ledger.Record, error) {
	t, frames, err := openTrail(j.fs, s.name)
	if err != nil {
		return nil, err
	}
	s.size = t.size
	if err := t.file.Close(); err != nil {
		return nil, err
	}
	records, err := parseAll(frames)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return records, nil
}

// recoverEmpty: a crash came between making the newest file and its first
// commit, so its number is free. An older file is never empty.
func (j *Journal) recoverEmpty(s *segment) error {
	if s.number != j.next-1 {
		return fmt.Errorf("%s: its records are gone", s.name)
	}
	if _, err := j.fs.ReadFile(j.sealName(s.number)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: its records are gone, but there is a statement of them", s.name)
	}
	j.next--
	return nil
}

// checkStaged compares what a recovered segment's records make with what may
// have been signed before the crash.
func (j *Journal) checkStaged(s *segment, statement *ledger.SegmentStatement) error {
	name := j.sealName(s.number)
	envelope, err := j.fs.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = j.checkEnvelope(envelope, statement)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// replay applies records that must follow what has been applied.
func (j *Journal) replay(records []ledger.Record) error {
	for _, r := range records {
		if err := ledger.Follows(r, j.last.Sequence+1, j.last.Time); err != nil {
			return err
		}
		if err := j.publish(r); err != nil {
			return err
		}
	}
	return nil
}
