package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/patchfit/patchfit/ledger"
)

// The times of trying again.
const (
	longestWait   = 5 * time.Minute
	longestAsked  = time.Hour // what an endpoint may ask for with Retry-After
	saveEvery     = time.Second
	complainEvery = time.Hour // of an endpoint that stays away
)

// A follower takes one endpoint through the journal. Its fields belong to the
// goroutine of run.
type follower struct {
	endpoint  Endpoint
	source    Source
	teller    *teller
	sender    *sender
	cursor    *cursor
	aside     *aside
	firstWait time.Duration
	logger    *slog.Logger

	at      int64     // every record up to here is done with
	saved   int64     // as the cursor file has it
	savedAt time.Time // of the last attempt to save
	unsaved bool      // the last attempt failed
	trouble trouble
}

// trouble is what keeps the record after at from being told.
type trouble struct {
	since      time.Time // zero: none
	attempts   int
	complained time.Time
}

// begin finds the place to go on from.
func (f *follower) begin() error {
	sequence, known, err := f.cursor.load()
	if err != nil {
		return err
	}
	last := f.source.Last()
	f.at, f.saved = sequence, sequence
	if known && sequence <= last {
		return nil
	}
	if known {
		f.logger.Error("the cursor is ahead of the journal, as after restoring a backup: going on with the next record", "cursor", sequence, "journal", last)
	}
	f.at, f.saved = last, last
	if err := f.cursor.save(last); err != nil {
		return fmt.Errorf("keeping its place: %w", err)
	}
	return nil
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := f.follow(ctx)
		f.save()
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	f.save()
}

// follow tells what there is, in order, and returns how long to wait before
// going on: until there may be more, or until what could not be told may be.
// It holds no part of the journal while it waits.
func (f *follower) follow(ctx context.Context) time.Duration {
	for r, err := range f.source.Records(f.at + 1) {
		if err == nil {
			err = f.tell(ctx, r)
		}
		if ctx.Err() != nil {
			return 0
		}
		if err != nil {
			return f.failed(err)
		}
		f.at = r.Sequence
		f.well()
		if time.Since(f.savedAt) >= saveEvery {
			f.save()
		}
	}
	return poll
}

// tell returns nil when there is nothing left to do about a record.
func (f *follower) tell(ctx context.Context, r ledger.Record) error {
	id, body, err := f.teller.event(r)
	if err != nil || id == "" {
		return err
	}
	err = f.sender.send(ctx, id, body)
	var no *refusal
	if !errors.As(err, &no) || !no.final() || !f.givenUp() || ctx.Err() != nil {
		return err
	}
	// A crash from here on leaves the file, and the event is tried once more.
	name, err := f.aside.put(id, body)
	if err != nil {
		return fmt.Errorf("setting aside what the endpoint refused: %w", err)
	}
	f.logger.Error("a notification was refused for too long and is set aside", "id", id, "status", no.status, "file", name)
	return nil
}

// givenUp reports whether the event at hand was tried for long enough.
func (f *follower) givenUp() bool {
	return !f.trouble.since.IsZero() && time.Since(f.trouble.since) >= f.endpoint.GiveUpAfter
}

// failed notes an attempt that came to nothing, and returns when to make the
// next. It says so at once, and then once an hour.
func (f *follower) failed(err error) time.Duration {
	now, t := time.Now(), &f.trouble
	if t.since.IsZero() {
		t.since = now
	}
	t.attempts++
	if now.Sub(t.complained) >= complainEvery {
		level := slog.LevelWarn
		if now.Sub(t.since) >= complainEvery {
			level = slog.LevelError
		}
		t.complained = now
		f.logger.Log(context.Background(), level, "a notification is not delivered yet; it will be tried again",
			"error", err, "record", f.at+1, "attempts", t.attempts, "since", t.since, "behind", f.source.Last()-f.at)
	}
	wait := backoff(f.firstWait, t.attempts)
	if no := (*refusal)(nil); errors.As(err, &no) {
		wait = max(wait, min(no.retryAfter, longestAsked))
	}
	return wait
}

// well ends the trouble, if there was any.
func (f *follower) well() {
	if !f.trouble.since.IsZero() {
		f.logger.Info("notifications go on", "record", f.at, "attempts", f.trouble.attempts)
	}
	f.trouble = trouble{}
}

// backoff returns how long to wait after so many attempts: doubling, and at
// random between half and all of it, so that many do not come back at once.
func backoff(first time.Duration, attempts int) time.Duration {
	d := longestWait
	if attempts < 16 {
		d = min(longestWait, first<<(attempts-1))
	}
	return d/2 + rand.N(d/2+1)
}

// save keeps the place, if it is a new one. A disk that does not take it costs
// no delivery: after a crash more is sent twice.
func (f *follower) save() {
	if f.at == f.saved {
		return
	}
	f.savedAt = time.Now()
	err := f.cursor.save(f.at)
	if err != nil {
		if !f.unsaved {
			f.logger.Error("the place in the journal is not on the disk: a crash now repeats notifications", "error", err)
		}
		f.unsaved = true
		return
	}
	f.saved, f.unsaved = f.at, false
}
