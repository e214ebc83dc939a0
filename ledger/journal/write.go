package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/patchfit/patchfit/ledger"
)

const (
	maxBatch      = 1024    // records written with one fsync
	maxBatchBytes = 4 << 20 // of bodies; the last one may go over
	maxSegment    = 8 << 20 // bytes after which a segment is closed early
	maxBody       = ledger.MaxRecord - 1024
)

// A request is a record on its way. done is closed when record or err is set.
type request struct {
	kind   ledger.Kind
	body   jsontext.Value
	record ledger.Record
	err    error
	done   chan struct{}
}

func newRequest(kind ledger.Kind, body any) (*request, error) {
	b, err := ledger.EncodeBody(kind, body)
	if err != nil {
		return nil, err
	}
	if len(b) > maxBody {
		return nil, fmt.Errorf("a record of kind %q: body of %d bytes exceeds the limit of %d", kind, len(b), maxBody)
	}
	return &request{kind: kind, body: b, done: make(chan struct{})}, nil
}

func (r *request) answer(err error) {
	if r.err = err; err != nil {
		r.record = ledger.Record{}
	}
	close(r.done)
}

// A segment is a file of records that is not sealed yet.
type segment struct {
	number, first, last int64 // last is 0 while it has no records
	size                int64 // bytes committed
	name                string
	closed              bool   // takes no more records
	trail               *trail // open while active
	envelope            []byte // its signed statement, once that is durable
}

// write is the one goroutine that writes records and applies them.
func (j *Journal) write() {
	var due <-chan time.Time // when the active segment is to be closed
	for {
		select {
		case r := <-j.requests:
			empty := !j.hasRecords()
			j.commit(j.gather(r))
			if !j.hasRecords() {
				due = nil
			} else if empty {
				due = time.After(j.sealAfter)
			}
			if j.Err() != nil {
				return // now: a select picks at random
			}
		case <-due:
			j.closeSegment()
			due = nil
		case asked := <-j.closing:
			j.closeSegment()
			due = nil
			close(asked)
		case <-j.dead:
			return
		case <-j.done:
			_ = j.poison(os.ErrClosed)
			return
		}
	}
}

// hasRecords reports whether the active segment, if any, has records.
func (j *Journal) hasRecords() bool { return j.active != nil && j.active.last != 0 }

// gather returns r and everyone else who waits.
func (j *Journal) gather(r *request) []*request {
	batch, size := []*request{r}, len(r.body)
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case r := <-j.requests:
			batch, size = append(batch, r), size+len(r.body)
		default:
			return batch
		}
	}
	return batch
}

// commit makes a batch of records durable, applies them, and answers.
func (j *Journal) commit(batch []*request) {
	// Stage: numbers, time, salt, frames. A crash here leaves nothing behind.
	frames, err := j.stage(batch)
	if err == nil {
		err = j.segmentReady()
	}
	// Commit, the point of no return. A crash before it is done leaves a torn
	// end; after it, Open finds the records and applies them.
	if err == nil {
		err = j.active.trail.commit(frames)
	}
	if err != nil {
		j.refuse(batch, err)
		return
	}
	j.extend(batch)
	// Publish: whoever asks from here on sees them.
	for i, r := range batch {
		if err := j.publish(r.record); err != nil {
			j.refuse(batch[i:], err)
			return
		}
		r.answer(nil)
	}
	if j.active.size >= maxSegment {
		j.closeSegment()
	}
}

// stage gives each request its record and returns their frames.
func (j *Journal) stage(batch []*request) ([]byte, error) {
	j.mu.Lock()
	last := j.last
	j.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Microsecond)
	if now.Before(last.Time) {
		now = last.Time
	}
	var frames []byte
	for i, r := range batch {
		salt := make([]byte, ledger.SaltSize)
		rand.Read(salt) // never fails
		r.record = ledger.Record{Sequence: last.Sequence + int64(i) + 1, Time: now, Kind: r.kind, Salt: salt, Body: r.body}
		var err error
		if frames, err = ledger.AppendRecord(frames, r.record); err != nil {
			return nil, err
		}
	}
	return frames, nil
}

// segmentReady makes sure there is an active segment.
func (j *Journal) segmentReady() error {
	if j.active != nil {
		return nil
	}
	j.mu.Lock()
	number, first := j.next, j.last.Sequence+1
	j.mu.Unlock()
	s := &segment{number: number, first: first, name: j.segmentName(number)}
	t, err := createTrail(j.fs, s.name)
	if err != nil {
		return err
	}
	s.trail, j.active = t, s
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	j.open = append(j.open, s)
	return nil
}

func (j *Journal) segmentName(number int64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%016d%s", number, segmentSuffix))
}

// extend tells readers how far the active segment goes now.
func (j *Journal) extend(batch []*request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active.last = batch[len(batch)-1].record.Sequence
	j.active.size = j.active.trail.size
}

// publish applies a durable record.
func (j *Journal) publish(r ledger.Record) error {
	if err := j.apply(r); err != nil {
		return fmt.Errorf("%w: applying record %d: %w", errFatal, r.Sequence, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = r
	return nil
}

// refuse answers with err, and with ErrDown where err is the end.
func (j *Journal) refuse(batch []*request, err error) {
	if errors.Is(err, errFatal) {
		err = j.poison(err)
	} else {
		err = fmt.Errorf("journal: %w", err)
	}
	for _, r := range batch {
		r.answer(err)
	}
}

// closeSegment hands the active segment, if it has records, to the sealer.
func (j *Journal) closeSegment() {
	if !j.hasRecords() {
		return
	}
	s := j.active
	if err := s.trail.file.Close(); err != nil {
		j.logger.Warn("closing a journal segment", "segment", s.number, "err", err)
	}
	j.mu.Lock()
	s.closed, s.trail, j.active = true, nil, nil
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}
