package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
)

const (
	segmentSuffix = ".segment" // records not sealed yet
	sealSuffix    = ".seal"    // a signed statement on its way to the log
	sealsName     = "seals"    // the trail of Seals
	lockName      = "lock"
	tempName      = "temp"

	logTimeout = time.Minute // of one try to log a statement
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// A Seal is one sealed segment: what was said about it, and where its bytes,
// the signed envelope and the leaf are.
type Seal struct {
	Statement ledger.SegmentStatement `json:"statement"`
	Segment   attest.Digest           `json:"segment"`  // the frames of its records, in the store
	Envelope  attest.Digest           `json:"envelope"` // DSSE of Statement, in the store
	Index     int64                   `json:"index"`    // of its leaf in the log
}

// Seals returns the seals of all sealed segments, by number.
func (j *Journal) Seals() []Seal {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Seal(nil), j.seals...)
}

// Seal closes the segment that takes records and returns when every record
// acknowledged before the call is sealed.
func (j *Journal) Seal(ctx context.Context) error {
	target := j.Last()
	asked := make(chan struct{})
	select {
	case j.closing <- asked:
		<-asked
	case <-ctx.Done():
		return ctx.Err()
	case <-j.dead:
		return j.Err()
	}
	for {
		j.mu.Lock()
		sealed, changed := j.sealed(), j.changed
		j.mu.Unlock()
		if sealed >= target {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-j.dead:
			return j.Err()
		}
	}
}

// sealed returns the sequence of the last sealed record. j.mu is held.
func (j *Journal) sealed() int64 {
	if len(j.seals) == 0 {
		return 0
	}
	return j.seals[len(j.seals)-1].Statement.Last
}

// sealAll is the one goroutine that seals, oldest segment first, each until it
// is done.
func (j *Journal) sealAll(ctx context.Context) {
	pause := firstPause
	for {
		s := j.toSeal()
		if s == nil {
			select {
			case <-j.wake:
			case <-ctx.Done():
				return
			case <-j.dead:
				return
			}
			continue
		}
		err := j.seal(ctx, s)
		if err == nil {
			pause = firstPause
			continue
		}
		if ctx.Err() != nil {
			return
		}
		j.logger.Warn("sealing a journal segment; trying again", "segment", s.number, "err", err)
		if errors.Is(err, errFatal) {
			_ = j.poison(err)
			return
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-ctx.Done():
			return
		case <-j.dead:
			return
		}
	}
}

// toSeal returns the oldest segment if it is closed, else nil.
func (j *Journal) toSeal() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.open) == 0 || !j.open[0].closed {
		return nil
	}
	return j.open[0]
}

// seal does the next segment. Every step can be done again, so an error or a
// crash at any point means: from the start.
func (j *Journal) seal(ctx context.Context, s *segment) error {
	// Stage. A crash here leaves blobs in the store that will be used later,
	// and perhaps an envelope, which must then be the only one: it may be in
	// the log already.
	records, err := j.readOpen(s)
	if err != nil {
		return err
	}
	seal, envelope, err := j.stageSeal(s, records)
	if err != nil {
		return err
	}
	// Log. A crash here leaves a leaf; the same envelope finds it again.
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	if seal.Index, err = j.log.Add(ctx, envelope, j.key); err != nil {
		return fmt.Errorf("logging the statement: %w", err)
	}
	// Commit, the point of no return. A crash before it leaves everything to be
	// done again; after it, Open removes the files.
	if err := j.commitSeal(seal); err != nil {
		return err
	}
	j.publishSeal(seal)
	// Tidy.
	if err := j.tidy(s.number); err != nil {
		j.logger.Warn("removing a sealed journal segment; the next start will", "segment", s.number, "err", err)
	}
	return nil
}

// stageSeal brings bytes, statement and envelope to where they stay.
func (j *Journal) stageSeal(s *segment, records []ledger.Record) (*Seal, []byte, error) {
	statement, err := ledger.NewSegmentStatement(j.newestStatement(), records)
	if err != nil {
		return nil, nil, err
	}
	envelope, err := j.envelope(s, statement)
	if err != nil {
		return nil, nil, err
	}
	var frames []byte
	for _, r := range records {
		if frames, err = ledger.AppendRecord(frames, r); err != nil {
			return nil, nil, err
		}
	}
	seal := &Seal{Statement: *statement}
	if seal.Segment, err = j.store.Put(frames); err != nil {
		return nil, nil, err
	}
	if seal.Envelope, err = j.store.Put(envelope); err != nil {
		return nil, nil, err
	}
	return seal, envelope, nil
}

func (j *Journal) newestStatement() *ledger.SegmentStatement {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.seals) == 0 {
		return nil
	}
	s := j.seals[len(j.seals)-1].Statement
	return &s
}

// envelope returns the one signed envelope of a segment's statement, durable
// in its file: a second signature would be a second leaf.
func (j *Journal) envelope(s *segment, statement *ledger.SegmentStatement) ([]byte, error) {
	if s.envelope != nil {
		return s.envelope, nil
	}
	name := j.sealName(s.number)
	envelope, err := j.fs.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		envelope, err = j.sign(statement)
	}
	if err != nil {
		return nil, err
	}
	if err := j.checkEnvelope(envelope, statement); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// Written even when it was read: it may have been there without being durable.
	if err := disk.WriteFile(j.fs, filepath.Join(j.dir, tempName), name, envelope); err != nil {
		return nil, err
	}
	s.envelope = envelope
	return envelope, nil
}

func (j *Journal) sealName(number int64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%016d%s", number, sealSuffix))
}

func (j *Journal) sign(statement *ledger.SegmentStatement) ([]byte, error) {
	payload, err := statement.Canonical()
	if err != nil {
		return nil, err
	}
	return attest.SignEnvelope(attest.SegmentPayload, payload, j.signer)
}

// checkEnvelope reports an error unless envelope is the journal key's word for
// exactly statement.
func (j *Journal) checkEnvelope(envelope []byte, statement *ledger.SegmentStatement) error {
	e, err := attest.ParseEnvelope(envelope, attest.SegmentPayload)
	if err != nil {
		return err
	}
	if err := e.Verify(j.key); err != nil {
		return err
	}
	want, err := statement.Canonical()
	if err != nil {
		return err
	}
	if !bytes.Equal(e.Payload, want) {
		return fmt.Errorf("signed is %s, the records make %s", e.Payload, want)
	}
	return nil
}

func (j *Journal) commitSeal(seal *Seal) error {
	b, err := strictjson.Canonical(seal)
	if err != nil {
		return err
	}
	if err := j.sealFile.commit(ledger.AppendFrame(nil, b)); err != nil {
		return fmt.Errorf("recording a seal: %w", err)
	}
	return nil
}

// publishSeal lets readers find the segment in the store.
func (j *Journal) publishSeal(seal *Seal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seals, j.open = append(j.seals, *seal), j.open[1:]
	close(j.changed)
	j.changed = make(chan struct{})
}

// tidy removes the files of a sealed segment.
func (j *Journal) tidy(number int64) error {
	for _, name := range []string{j.segmentName(number), j.sealName(number)} {
		if err := j.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return j.fs.SyncDir(j.dir)
}
