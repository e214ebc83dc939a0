// Package scrub reads what is stored again, slowly, so that bytes that changed
// on a disk are found while there is another copy of them somewhere, and not
// when a host asks for them. docs/spec/registry.md, "Scrubbing".
package scrub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/state"
)

// DefaultRate is how many bytes are read in a second.
const DefaultRate = 20 << 20

// minBurst is what content reads at a time.
const minBurst = 64 << 10

// Store is where the bytes of manifests and bundles are.
type Store interface {
	// Get returns the bytes with this digest, hashed again.
	Get(d attest.Digest) ([]byte, error)
}

// Config is what a Scrubber needs.
type Config struct {
	State   *state.State
	Content *content.Store
	Store   Store
}

// Options may be nil.
type Options struct {
	Rate   int64        // bytes in a second; 0: DefaultRate
	Book   *damage.Book // where findings are kept; nil: nowhere
	Logger *slog.Logger // nil: silent
}

// A Result is of one scrubbing.
type Result struct {
	Started time.Time
	Ended   time.Time // zero: it was stopped
	Objects int       // read, and bytes of those
	Bytes   int64
	Damaged int // of the objects
	Unread  int // of the objects: whether they are whole is not known
}

// A Scrubber scrubs from one goroutine at a time.
type Scrubber struct {
	Config
	limiter *rate.Limiter
	book    *damage.Book
	logger  *slog.Logger

	mu    sync.Mutex
	last  Result
	found int
	now   *Result // of the scrubbing that is going on
}

// New returns a scrubber of what c has.
func New(c Config, o *Options) *Scrubber {
	s := &Scrubber{Config: c, logger: slog.New(slog.DiscardHandler)}
	var perSecond int64
	if o != nil {
		perSecond, s.book = o.Rate, o.Book
		if o.Logger != nil {
			s.logger = o.Logger
		}
	}
	if perSecond <= 0 {
		perSecond = DefaultRate
	}
	s.limiter = rate.NewLimiter(rate.Limit(perSecond), int(max(minBurst, perSecond/10)))
	return s
}

// Last returns the result of the newest scrubbing that is over, and how many
// damaged objects were found since the start.
func (s *Scrubber) Last() (last Result, found int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.found
}

// Now returns how far the scrubbing that is going on has come; false: there is
// none.
func (s *Scrubber) Now() (r Result, running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return Result{}, false
	}
	return *s.now, true
}

// A pass is one scrubbing.
type pass struct {
	*Scrubber
	result Result
	seen   map[attest.Digest]bool // of what is in several places
	ended  error                  // why nothing more is read
}

// pace waits until n bytes may be read.
func (p *pass) pace(ctx context.Context, n int) error {
	if err := p.limiter.WaitN(ctx, n); err != nil {
		p.ended = err
		return err
	}
	return nil
}

// Scrub reads everything that is on record once. Damage is logged, and no
// error; an error says why it did not come to its end.
func (s *Scrubber) Scrub(ctx context.Context) (Result, error) {
	p := &pass{Scrubber: s, result: Result{Started: time.Now()}, seen: make(map[attest.Digest]bool)}
	s.mu.Lock()
	s.now = &p.result
	s.mu.Unlock()
	err := p.repositories(ctx)
	if err == nil {
		err = p.others(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found += p.result.Damaged
	if err == nil {
		p.result.Ended = time.Now()
	}
	s.last, s.now = p.result, nil
	if err != nil {
		return p.result, fmt.Errorf("scrubbing: %w", err)
	}
	s.passed(p.result)
	return p.result, nil
}

func (p *pass) repositories(ctx context.Context) error {
	for _, repository := range p.State.Repositories() {
		for _, b := range p.State.Blobs(repository) {
			if err := p.blob(ctx, repository, b.Digest, b.Size); err != nil {
				return err
			}
		}
		for _, m := range p.State.Visible(repository) {
			if err := p.manifest(ctx, repository, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// others reads what is in repositories of products that are not served.
func (p *pass) others(ctx context.Context) error {
	for o, err := range p.Content.List(ctx) {
		if err != nil {
			return fmt.Errorf("listing the stored bytes: %w", err)
		}
		if p.served(o.Digest) {
			continue
		}
		if err := p.blob(ctx, "", o.Digest, o.Size); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) served(d attest.Digest) bool {
	for _, repository := range p.State.Repositories() {
		if _, ok := p.State.Blob(repository, d); ok {
			return true
		}
	}
	return false
}

// blob reads a blob, if it is on record, then and afterwards: what was
// collected in the meantime is no damage.
func (p *pass) blob(ctx context.Context, repository string, d attest.Digest, size int64) error {
	if p.seen[d] || !p.State.Stored(d) {
		return nil
	}
	if p.State.Copies(d) > 1 {
		p.seen[d] = true
	}
	err := p.Content.Check(ctx, d, p.pace)
	if err != nil && !p.State.Stored(d) {
		return nil
	}
	return p.note(damage.Object{Kind: damage.Blob, Repository: repository, Digest: d}, size, err)
}

// manifest reads a manifest, and the bundle it carries.
func (p *pass) manifest(ctx context.Context, repository string, m *state.Manifest) error {
	named := damage.Object{Kind: damage.Manifest, Repository: repository, Digest: m.Artifact.Manifest}
	if err := p.body(ctx, named, m.Size); err != nil || m.Bundle == "" {
		return err
	}
	return p.body(ctx, damage.Object{Kind: damage.Bundle, Repository: repository, Digest: m.Bundle}, m.FileSize)
}

func (p *pass) body(ctx context.Context, o damage.Object, size int64) error {
	for left := size; left > 0; {
		n := min(left, int64(p.limiter.Burst()))
		if err := p.pace(ctx, int(n)); err != nil {
			return err
		}
		left -= n
	}
	_, err := p.Store.Get(o.Digest)
	return p.note(o, size, err)
}

// note counts an object, and is the alarm where it is damaged.
func (p *pass) note(o damage.Object, size int64, err error) error {
	if p.ended != nil {
		return p.ended
	}
	came := p.tell(o, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result.Objects++
	p.result.Bytes += size
	switch came {
	case damaged:
		p.result.Damaged++
	case unread:
		p.result.Unread++
	}
	return nil
}

func isDamage(err error) bool {
	for _, damage := range []error{content.ErrDamaged, content.ErrNotFound, store.ErrCorrupt, store.ErrNotFound} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return false
}
