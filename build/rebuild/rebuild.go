// Package rebuild builds an artifact again, from what its provenance says alone,
// and tells what came of it (docs/spec/rebuild.md).
//
// It is handed statements that are verified already, and files that are held to
// their digests; it asks no server and signs nothing. A result is a fact about
// the artifact or about this machine, and it says which: what stops a build here
// ([attest.BuildFailed], [attest.NotAttempted]) is never held against the
// artifact. An error is neither: it was not found out.
//
//	order.go    what provenance asks to be built
//	rebuild.go  one run of it
//	outcome.go  what the files say, one beside the other; options.go: and of how they were compiled
//	normalise.go  whether they are alike after a named program
//	log.go      what the build said, bounded, without when and where
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/source"
)

// A Place is where an order is carried out, with what it needs at hand.
type Place struct {
	Root    string // the builder image, unpacked
	Source  string // the source archive
	Wanted  string // the artifact's file
	Scratch string // directory for the build's tree: a disk
	To      string // directory to make for what comes out
	Runner  sandbox.Runner
	Limits  sandbox.Limits

	Normaliser *Normaliser // nil: what differs, differs
}

// Why a rebuild did not come to files to compare, in a word. Words of
// build/compare say how files differ.
const (
	CategoryCommand       = "command"       // the command failed
	CategoryTimeout       = "timeout"       // it was stopped as it took too long
	CategoryLimit         = "limit"         // it was stopped at another limit
	CategoryCapture       = "capture"       // it ran, and what it was cannot be told
	CategoryContradiction = "contradiction" // what came out says it was built otherwise
	CategoryEnvironment   = "environment"   // it came out of another environment than is recorded, and otherwise
	CategorySandbox       = "sandbox"       // this machine cannot contain builds
	CategoryProvenance    = "provenance"    // what is said does not suffice to build it
	CategoryBuilder       = "builder-image" // the builder image is not there
	CategorySource        = "source"        // the source archive is not there
)

// Run carries out an order once.
func Run(ctx context.Context, o *Order, p *Place) (*Outcome, error) {
	r := &run{Order: o, Place: p, log: newLog()}
	r.log.head(o)
	c, err := r.build(ctx, o.Base(), p.To)
	if d := (*build.MismatchError)(nil); errors.As(err, &d) { // not the patch's base's: see what comes out all the same
		r.differences = d.Differences
		c, err = r.build(ctx, nil, p.To)
	}
	if err != nil {
		return r.failed(ctx, err)
	}
	if len(r.differences) == 0 {
		r.differences = o.Environment.Diff(c.Environment)
	}
	return r.made(ctx, c)
}

type run struct {
	*Order
	*Place
	log         *log
	differences []attest.Difference // of the environments
	started     time.Time
}

func (r *run) build(ctx context.Context, base *attest.Environment, to string) (*build.Capture, error) {
	r.started = time.Now().UTC().Truncate(time.Second)
	config := r.Recipe.Configuration
	if config != "" && !filepath.IsAbs(config) {
		config = sandbox.Build + "/" + config
	}
	return build.Contain(ctx, &build.Job{
		Image: r.Environment.BuilderImage, Root: r.Root, Source: &source.Tree{Path: r.Place.Source, Digest: r.Order.Source},
		Command: r.Command, Dir: r.Recipe.Directory, Artifact: sandbox.Build + "/" + r.Recipe.Artifact, Config: config,
		Epoch: r.Recipe.SourceDateEpoch, Base: base, Runner: r.Runner, Limits: r.Limits, Scratch: r.Scratch,
		Stdout: r.log, Stderr: r.log,
	}, to)
}

// failed tells what stopped a build: the build itself, or this machine. What is
// neither is an error.
func (r *run) failed(ctx context.Context, err error) (*Outcome, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var (
		command       *sandbox.ExitError
		limit         *sandbox.LimitError
		contradiction *build.ContradictionError
		file          *fs.PathError
		number        syscall.Errno
	)
	out := r.outcome(attest.BuildFailed)
	switch {
	case errors.Is(err, sandbox.ErrUnavailable):
		return NotAttempted(CategorySandbox, sandbox.ErrUnavailable.Error()), nil
	case errors.As(err, &command):
		out.Category = CategoryCommand
	case errors.As(err, &limit) && limit.Limit == sandbox.LimitWall:
		out.Category = CategoryTimeout
	case errors.As(err, &limit):
		out.Category = CategoryLimit
	case errors.As(err, &contradiction):
		out.Category = CategoryContradiction
	case errors.As(err, &file), errors.As(err, &number): // a full disk is no fact about an artifact
		return nil, fmt.Errorf("rebuilding: %w", err)
	default:
		out.Category = CategoryCapture
	}
	out.explain(r.anywhere(err.Error()))
	out.Log = r.log.end(out)
	return out, nil
}

// anywhere takes this machine's paths out of a text.
func (r *run) anywhere(s string) string {
	for _, dir := range []string{r.Scratch, r.To, r.Root} {
		s = strings.ReplaceAll(s, dir, "(here)")
	}
	return s
}
