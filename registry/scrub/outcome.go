package scrub

import (
	"context"
	"slices"

	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/state"
)

// An outcome of reading an object.
type outcome int

const (
	whole   outcome = iota
	damaged         // other bytes, or none
	unread          // nobody knows: the disk or the bucket did not give them out
)

// outcomeOf says what err, of reading an object, is about. An outage is no
// damage.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return whole
	case isDamage(err):
		return damaged
	}
	return unread
}

// tell makes what was found of an object known.
func (s *Scrubber) tell(o damage.Object, err error) outcome {
	came := outcomeOf(err)
	switch came {
	case whole:
		if s.book != nil {
			s.book.Whole(o.Kind, o.Digest)
		}
	case damaged:
		s.logger.Error("stored bytes are damaged", "kind", o.Kind, "repository", o.Repository, "digest", o.Digest, "error", err)
		if s.book != nil {
			s.book.Found(o)
		}
	case unread: // no files left, a disk that does not answer: the next scrubbing finds out
		s.logger.Warn("stored bytes could not be read", "kind", o.Kind, "repository", o.Repository, "digest", o.Digest, "error", err)
	}
	return came
}

// passed keeps the result of a scrubbing that came to its end.
func (s *Scrubber) passed(r Result) {
	if s.book == nil {
		return
	}
	s.book.Passed(damage.Pass{
		Started: r.Started.UTC(), Ended: r.Ended.UTC(), Objects: int64(r.Objects), Bytes: r.Bytes,
		Damaged: int64(r.Damaged), Unread: int64(r.Unread),
	})
}

// Again reads what is in the book once more, so that an alarm is over soon
// after the bytes were pushed again, or brought back from a backup. What nothing
// needs any more is no alarm either.
func (s *Scrubber) Again(ctx context.Context) error {
	if s.book == nil {
		return nil
	}
	for _, f := range s.book.Report().Findings {
		if f.Kind == damage.Notes {
			continue // nothing repairs them
		}
		err := s.read(ctx, f.Object)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || !s.needed(f.Object) {
			s.book.Whole(f.Kind, f.Digest)
		} else if outcomeOf(err) == damaged {
			s.book.Found(f.Object)
		}
	}
	return nil
}

// read hashes an object at the pace of the scrubber.
func (s *Scrubber) read(ctx context.Context, o damage.Object) error {
	if o.Kind == damage.Blob {
		return s.Content.Check(ctx, o.Digest, s.limiter.WaitN)
	}
	if err := s.limiter.WaitN(ctx, minBurst); err != nil {
		return err
	}
	_, err := s.Store.Get(o.Digest)
	return err
}

// needed reports whether the object is one that a scrubbing reads.
func (s *Scrubber) needed(o damage.Object) bool {
	if o.Kind == damage.Blob {
		return s.State.Stored(o.Digest)
	}
	for _, repository := range s.State.Repositories() {
		if _, visible := s.State.Manifest(repository, o.Digest); visible || s.carried(repository, o) {
			return true
		}
	}
	return false
}

func (s *Scrubber) carried(repository string, o damage.Object) bool {
	if o.Kind != damage.Bundle {
		return false
	}
	return slices.ContainsFunc(s.State.Visible(repository), func(m *state.Manifest) bool { return m.Bundle == o.Digest })
}
