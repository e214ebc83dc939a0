// Package collect takes away what nothing needs any more: blobs that no visible
// manifest of their repository references, and bytes that are in no repository.
// docs/spec/registry.md, "Collection".
//
// A manifest is never collected, tagged or not, so whatever is attached to one,
// the attestations first, is safe with its blobs. What the ledger store has,
// the bodies of manifests and bundles, is not looked at: it has no delete.
//
// Pushes and pulls go on. Whether something is needed is asked again in the
// moment it is taken away, while nothing comes in. The record comes before the
// bytes go: a crash in between leaves bytes that are in no repository, and the
// next run removes them.
package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/registry/state"
)

// DefaultGrace is how long what nothing needs is left to whoever may be about
// to need it.
const DefaultGrace = 24 * time.Hour

// by is who took a blob away, in its record.
const by = "gc"

// A Journal takes facts. When Append returns nil the record is durable and the
// state has applied it.
type Journal interface {
	Append(ctx context.Context, kind ledger.Kind, body any) (ledger.Record, error)
}

// Config is what a Collector needs.
type Config struct {
	State   *state.State
	Content *content.Store
	Journal Journal
	// Alone runs a short function while nothing comes in. nil: nothing ever
	// does, because no server runs.
	Alone func(do func() error) error
}

// Options may be nil.
type Options struct {
	Logger *slog.Logger // nil: silent
}

// A Collector is used by one goroutine at a time.
type Collector struct {
	Config
	logger *slog.Logger
}

// New returns a collector of what c has.
func New(c Config, o *Options) *Collector {
	k := &Collector{c, slog.New(slog.DiscardHandler)}
	if k.Alone == nil {
		k.Alone = func(do func() error) error { return do() }
	}
	if o != nil && o.Logger != nil {
		k.logger = o.Logger
	}
	return k
}

// Run is how one collection is done.
type Run struct {
	Grace  time.Duration // 0: DefaultGrace
	DryRun bool          // only say what it would do
}

// A Report says what a collection took away, or would.
type Report struct {
	Blobs       int   // taken out of their repositories
	BlobBytes   int64 // of those, as the quotas count
	Objects     int   // whose bytes are gone
	ObjectBytes int64
}

// A run is one collection in progress.
type run struct {
	*Collector
	Run
	before time.Time             // what came since stays
	would  map[attest.Digest]int // copies that a dry run would have taken away
	report Report
}

var errNotReady = errors.New("the state is not whole, so that what is needed is not known")

// Collect does one collection. It stops at the first fact the journal does not
// take; bytes that cannot be removed are told at the end. The report is of what
// was done until then.
func (k *Collector) Collect(ctx context.Context, how Run) (Report, error) {
	if how.Grace == 0 {
		how.Grace = DefaultGrace
	}
	if how.Grace < 0 {
		return Report{}, fmt.Errorf("collecting: a grace of %v is below zero", how.Grace)
	}
	if !k.State.Ready() {
		return Report{}, fmt.Errorf("collecting: %w", errNotReady)
	}
	r := &run{Collector: k, Run: how, before: time.Now().Add(-how.Grace), would: make(map[attest.Digest]int)}
	err := r.blobs(ctx)
	if err == nil {
		err = r.objects(ctx)
	}
	if err != nil {
		err = fmt.Errorf("collecting: %w", err)
	}
	return r.report, err
}

// blobs takes the blobs that nothing references out of their repositories.
func (r *run) blobs(ctx context.Context) error {
	for _, repository := range r.State.Repositories() {
		for _, b := range r.State.Blobs(repository) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.needed(repository, b) {
				continue
			}
			if err := r.blob(ctx, repository, b.Digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// needed reports whether a blob has to stay where it is.
func (r *run) needed(repository string, b state.Blob) bool {
	return !b.Since.Before(r.before) || len(r.State.Referencing(repository, b.Digest)) > 0
}

// blob takes one blob out of a repository, if that is still right.
func (r *run) blob(ctx context.Context, repository string, d attest.Digest) error {
	return r.Alone(func() error {
		b, ok := r.State.Blob(repository, d)
		if !ok || r.needed(repository, b) {
			return nil
		}
		if r.DryRun {
			r.would[d]++
		} else if err := r.record(ctx, repository, d); err != nil {
			return err
		}
		r.report.Blobs++
		r.report.BlobBytes += b.Size
		r.logger.Info("a blob that nothing references was collected", "repository", repository, "digest", d, "bytes", b.Size, "dryRun", r.DryRun)
		return nil
	})
}

// record waits for the journal even when the run is to end: to know is better.
func (r *run) record(ctx context.Context, repository string, d attest.Digest) error {
	removed := ledger.BlobRemoved{Repository: repository, Digest: d, By: by}
	if _, err := r.Journal.Append(context.WithoutCancel(ctx), ledger.KindBlobRemoved, removed); err != nil {
		return fmt.Errorf("recording that %s is in %s no more: %w", d, repository, err)
	}
	return nil
}

// objects removes the bytes that are in no repository. What cannot be removed
// stays for the next run.
func (r *run) objects(ctx context.Context) error {
	var failed []error
	for o, err := range r.Content.List(ctx) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return errors.Join(append(failed, fmt.Errorf("listing the stored bytes: %w", err))...)
		}
		if !o.Modified.Before(r.before) || r.stored(o.Digest) {
			continue
		}
		if err := r.object(ctx, o); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (r *run) stored(d attest.Digest) bool { return r.State.Copies(d) > r.would[d] }

func (r *run) object(ctx context.Context, o content.Listed) error {
	return r.Alone(func() error {
		if r.stored(o.Digest) {
			return nil
		}
		if !r.DryRun {
			if err := r.Content.Remove(context.WithoutCancel(ctx), o.Digest); err != nil {
				return err
			}
		}
		r.report.Objects++
		r.report.ObjectBytes += o.Size
		return nil
	})
}
