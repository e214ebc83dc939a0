package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
)

// How often the file is looked at after a checkpoint was signed: soon, because
// it is about to be there, and then less and less, because the disk is in
// trouble.
const (
	pollFirst = time.Millisecond
	pollLast  = 100 * time.Millisecond
)

// patience is how long a checkpoint may take before the clock is suspected.
const patience = time.Second

// latest is the last checkpoint that was published, and lets others wait for
// the next.
type latest struct {
	keys  []ledger.LogKey
	files files
	tell  func(*ledger.Checkpoint) // is told of each that was published, before anybody else; nil: nobody is

	mu      sync.Mutex
	cp      *ledger.Checkpoint // nil before the first
	changed chan struct{}      // closed when cp is replaced
}

func newLatest(keys []ledger.LogKey, files files) *latest {
	return &latest{keys: keys, files: files, changed: make(chan struct{})}
}

// read looks at the file.
func (p *latest) read(ctx context.Context) (*ledger.Checkpoint, error) {
	raw, err := p.files.ReadCheckpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, backend.ErrNoCheckpoint
	}
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cp != nil && bytes.Equal(p.cp.Raw, raw) {
		return p.cp, nil
	}
	cp, err := ledger.OpenCheckpoint(raw, p.keys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	p.cp = cp
	if p.tell != nil {
		p.tell(cp)
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return cp, nil
}

// follow reads each checkpoint that g signs, until ctx ends.
func (p *latest) follow(ctx context.Context, g *guard) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.signed:
		}
		for pause := pollFirst; ; pause = min(2*pause, pollLast) {
			if cp, err := p.read(ctx); err == nil && cp.Size >= g.signedSize.Load() {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

// get returns the last checkpoint and what is closed when it is the last no
// longer.
func (p *latest) get() (*ledger.Checkpoint, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cp, p.changed
}

// await returns a checkpoint of at least size entries, or an error when ctx or
// the log's own life ends before there is one.
func (p *latest) await(ctx, life context.Context, size uint64) (*ledger.Checkpoint, error) {
	for {
		cp, changed := p.get()
		if cp != nil && cp.Size >= size {
			return cp, nil
		}
		select {
		case <-changed:
		case <-time.After(patience):
			if d, ok := p.files.(disk); ok {
				d.unstick()
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a checkpoint of %d entries: %w", size, ctx.Err())
		case <-life.Done():
			return nil, context.Cause(life)
		}
	}
}
