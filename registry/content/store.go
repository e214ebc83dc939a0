package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/kept"
)

const (
	maxWhole = 1 << 17  // objects remembered as whole
	chunk    = 64 << 10 // bytes that are hashed at a time where there is a pace
)

// Options may be nil.
type Options struct {
	// MinFree is how many bytes have to stay free for others, the journal first;
	// 0: none. Where fewer are left, uploads are refused with ErrFull.
	MinFree int64
	// MinFreePercent is the same as a part of all the bytes there are.
	MinFreePercent int64
	// LookEvery is how long a small blob in memory is believed to be what is kept
	// without a look; 0: [kept.LookEvery].
	LookEvery time.Duration
}

// A Store is safe for concurrent use.
type Store struct {
	backend Backend
	options Options
	small   *kept.Cache[attest.Digest, Version, []byte]

	mu    sync.Mutex
	whole map[attest.Digest]Version // versions that had their digest when they were hashed
}

// New returns a store of what b keeps.
func New(b Backend, o *Options) *Store {
	s := &Store{backend: b, whole: make(map[attest.Digest]Version)}
	if o != nil {
		s.options = *o
	}
	s.small = newSmalls(b, s.options.LookEvery)
	return s
}

// A Blob is an open one that has its digest. Close it.
type Blob struct {
	io.ReadSeekCloser        // on a disk an *os.File, where it is not in memory
	Size              int64  // bytes
	Bytes             []byte // all of a small blob, not to be changed; nil: of a large one
}

// Open returns a blob, hashed now or found as it was when it was hashed last:
// ErrNotFound, ErrDamaged.
func (s *Store) Open(ctx context.Context, d attest.Digest) (Blob, error) {
	if b, ok := s.small.Get(ctx, d); ok {
		return newSmall(b), nil
	}
	if _, err := attest.ParseDigest(string(d)); err != nil {
		return Blob{}, err
	}
	object, version, err := s.backend.Open(ctx, d)
	if err != nil {
		return Blob{}, fmt.Errorf("opening %s: %w", d, err)
	}
	if version.Size <= smallSize {
		b, err := s.readSmall(ctx, d, object, version)
		if err := errors.Join(err, object.Close()); err != nil {
			return Blob{}, err
		}
		return newSmall(b), nil
	}
	if !s.isWhole(d, version) {
		if err := s.hash(ctx, d, object, version); err != nil {
			return Blob{}, errors.Join(err, object.Close())
		}
	}
	return Blob{ReadSeekCloser: object, Size: version.Size}, nil
}

func isShort(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// hash hashes a large object from its start and leaves it there.
func (s *Store) hash(ctx context.Context, d attest.Digest, object io.ReadSeeker, v Version) error {
	h := sha256.New()
	if _, err := io.Copy(h, object); err != nil {
		return fmt.Errorf("hashing %s: %w", d, err)
	}
	if attest.DigestFromSum(h.Sum(nil)) != d {
		return fmt.Errorf("%s: %w", d, ErrDamaged)
	}
	now, err := s.backend.Version(ctx, d)
	if err != nil {
		return fmt.Errorf("hashing %s: %w", d, err)
	}
	if now == v && v.settled(time.Now()) {
		s.remember(d, v)
	}
	_, err = object.Seek(0, io.SeekStart)
	return err
}

func (s *Store) isWhole(d attest.Digest, v Version) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.whole[d]
	return ok && have == v
}

func (s *Store) remember(d attest.Digest, v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.whole) >= maxWhole {
		for some := range s.whole { // any one: it is hashed again when it is asked for
			delete(s.whole, some)
			break
		}
	}
	s.whole[d] = v
}

func (s *Store) forget(d attest.Digest) {
	s.small.Remove(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.whole, d)
}

// Read returns the bytes of a blob of at most limit bytes.
func (s *Store) Read(ctx context.Context, d attest.Digest, limit int64) ([]byte, error) {
	b, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", d, b.Size, limit)
	}
	if b.Bytes != nil {
		return bytes.Clone(b.Bytes), nil
	}
	all, err := io.ReadAll(io.LimitReader(b, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	if attest.DigestOf(all) != d {
		return nil, fmt.Errorf("%s: %w", d, ErrDamaged)
	}
	return all, nil
}

// Check hashes an object, whatever is remembered of it: nil, ErrDamaged,
// ErrNotFound. pace is asked before so many bytes are read; nil: at any rate.
func (s *Store) Check(ctx context.Context, d attest.Digest, pace func(ctx context.Context, n int) error) error {
	object, _, err := s.backend.Open(ctx, d)
	if err != nil {
		return fmt.Errorf("opening %s: %w", d, err)
	}
	defer object.Close()
	h := sha256.New()
	for buf := make([]byte, chunk); ; {
		if pace != nil {
			if err := pace(ctx, len(buf)); err != nil {
				return err
			}
		}
		n, err := object.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("hashing %s: %w", d, err)
		}
	}
	if attest.DigestFromSum(h.Sum(nil)) != d {
		s.forget(d)
		return fmt.Errorf("%s: %w", d, ErrDamaged)
	}
	return nil
}

// Remove removes the bytes of a blob that is in no repository.
func (s *Store) Remove(ctx context.Context, d attest.Digest) error {
	s.forget(d)
	if err := s.backend.Remove(ctx, d); err != nil {
		return fmt.Errorf("removing %s: %w", d, err)
	}
	return nil
}

// List yields every object there is, in a repository or not.
func (s *Store) List(ctx context.Context) iter.Seq2[Listed, error] { return s.backend.List(ctx) }

// Room reports ErrFull where less is free than has to stay free.
func (s *Store) Room() error {
	free, all, err := s.backend.Free()
	if err != nil {
		return fmt.Errorf("asking for free room: %w", err)
	}
	if all == 0 {
		return nil
	}
	if want := max(s.options.MinFree, all/100*s.options.MinFreePercent); free < want {
		return fmt.Errorf("%d bytes are free and %d have to stay free: %w", free, want, ErrFull)
	}
	return nil
}
