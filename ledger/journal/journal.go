// Package journal keeps every acknowledged fact that is not an OCI object, in
// the order it took effect. docs/spec/journal.md is its specification.
//
// A fact becomes a [ledger.Record]. Records are written to a segment file, as
// many as are waiting at once with one fsync; when Append returns, its record
// is durable and has been applied. Within a second the segment is closed and
// sealed: its bytes go to the ledger store, a signed statement of its salted
// Merkle root becomes one leaf in the log, and then, and only then, the file
// goes. Whatever fails on the way is tried again in the background; records
// are taken in the meantime.
//
// After a failed fsync nobody knows what is on the disk, so the journal is
// down: it acknowledges nothing more until it is opened again, which finds out.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/internal/disk"
	"github.com/sigstore/sigstore/pkg/signature"
)

// ErrDown reports that the journal takes no more records: after a failed
// fsync, a record that could not be applied, or Close.
var ErrDown = errors.New("the journal is down")

// ErrRolledBack reports that the log knows more sealed segments than the
// journal, or fewer: one of them was lost, cut or restored without the other.
var ErrRolledBack = errors.New("journal and log do not go together")

// A Store keeps bytes for good under their sha256. When Put returns nil they
// survive a power cut; Get hashes what it returns.
type Store interface {
	Put(b []byte) (attest.Digest, error)
	Get(d attest.Digest) ([]byte, error)
}

// A Log makes a signed envelope one leaf. When Add returns nil the leaf is
// integrated. The same envelope again returns the index it has.
type Log interface {
	Add(ctx context.Context, envelope []byte, key *attest.PublicKey) (index int64, err error)
	// Count returns how many integrated leaves are signed by the key: there is
	// one for each sealed segment, so a journal that was set back is noticed.
	Count(key attest.Digest) int64
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // of the background work; nil: silent
	// SealAfter is how old the oldest record of a segment gets before the
	// segment is closed and sealed; 0: one second.
	SealAfter time.Duration
}

// A Journal is open in one process only. Its methods may be called at the same
// time.
type Journal struct {
	fs        disk.FS
	dir       string
	store     Store
	signer    signature.Signer
	key       *attest.PublicKey
	log       Log
	apply     func(ledger.Record) error
	logger    *slog.Logger
	sealAfter time.Duration
	lock      io.Closer

	requests chan *request
	closing  chan chan struct{} // Seal asks the writer to close the segment
	wake     chan struct{}      // the sealer has work
	quit     context.CancelFunc
	done     <-chan struct{} // of quit
	running  sync.WaitGroup

	active   *segment // the writer's own: where records go; nil: the next makes one
	sealFile *trail   // the sealer's own

	mu      sync.Mutex
	seals   []Seal        // of every sealed segment
	open    []*segment    // not sealed yet, oldest first
	next    int64         // number of the next segment
	last    ledger.Record // newest applied; zero: none
	down    error
	dead    chan struct{} // closed when down is set
	changed chan struct{} // closed and replaced when a segment is sealed
}

// Open opens the journal in dir, makes it where there is none, and hands every
// record to apply, in order, before it returns. apply is called later for each
// new record, always in order and never twice at a time; where it refuses one
// the journal is down. signer is the journal's own key, ECDSA P-256.
//
// A torn end that was never acknowledged is cut off. Damage to anything else
// is an error that names the file: a journal with a hole is not opened.
func Open(dir string, st Store, signer signature.Signer, log Log, apply func(ledger.Record) error, o *Options) (*Journal, error) {
	return open(disk.OS{}, &Journal{dir: dir, store: st, signer: signer, log: log, apply: apply}, o)
}

func open(fs disk.FS, j *Journal, o *Options) (*Journal, error) {
	if o == nil {
		o = new(Options)
	}
	j.fs, j.logger, j.sealAfter = fs, o.Logger, o.SealAfter
	if j.logger == nil {
		j.logger = slog.New(slog.DiscardHandler)
	}
	if j.sealAfter == 0 {
		j.sealAfter = time.Second
	}
	j.requests, j.closing, j.wake = make(chan *request), make(chan chan struct{}), make(chan struct{}, 1)
	j.dead, j.changed = make(chan struct{}), make(chan struct{})
	if err := j.restore(); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", errors.Join(err, j.release()))
	}
	j.start()
	return j, nil
}

func (j *Journal) start() {
	ctx, cancel := context.WithCancel(context.Background())
	j.quit, j.done = cancel, ctx.Done()
	j.running.Go(j.write)
	j.running.Go(func() { j.sealAll(ctx) })
}

// Append makes body a record of kind and returns it when it is durable and
// applied. body is of the type that kind has. ErrDown: the record is not
// acknowledged and never will be, although opening the journal again may find
// it. Any other error: there is no such record. ctx counts until the record is
// on its way to the disk.
func (j *Journal) Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error) {
	r, err := newRequest(kind, body)
	if err != nil {
		return ledger.Record{}, fmt.Errorf("journal: %w", err)
	}
	select {
	case <-j.dead: // before anything else: a select picks at random
		return ledger.Record{}, j.Err()
	default:
	}
	select {
	case j.requests <- r:
	case <-ctx.Done():
		return ledger.Record{}, fmt.Errorf("journal: %w", ctx.Err())
	case <-j.dead:
		return ledger.Record{}, j.Err()
	}
	<-r.done
	return r.record, r.err
}

// Last returns the sequence of the newest record; 0: there is none.
func (j *Journal) Last() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last.Sequence
}

// Err returns nil while the journal takes records, and else ErrDown and why.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.down
}

// Dead is closed when the journal takes no more records. Opening it again finds
// out what is on the disk.
func (j *Journal) Dead() <-chan struct{} { return j.dead }

// poison takes the journal down for cause. The first cause stays.
func (j *Journal) poison(cause error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.down == nil {
		j.down = fmt.Errorf("%w: %w", ErrDown, cause)
		close(j.dead)
	}
	return j.down
}

// Close stops taking records, waits for those on their way, and lets go of the
// directory. What is not sealed yet stays in its file; Open goes on with it.
// Reading stays possible.
func (j *Journal) Close() error {
	j.quit()
	j.running.Wait()
	_ = j.poison(os.ErrClosed)
	return j.release()
}

// release closes what is open.
func (j *Journal) release() error {
	var errs []error
	if j.active != nil {
		errs = append(errs, j.active.trail.file.Close())
		j.active = nil
	}
	if j.sealFile != nil {
		errs = append(errs, j.sealFile.file.Close())
		j.sealFile = nil
	}
	if j.lock != nil {
		errs = append(errs, j.lock.Close())
		j.lock = nil
	}
	return errors.Join(errs...)
}
