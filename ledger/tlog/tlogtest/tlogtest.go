// Package tlogtest makes logs without ours around them, for benchmarks: bare
// Tessera to compare with, and trees of very many entries filled in bulk.
package tlogtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	checkpoints "github.com/transparency-dev/formats/log"
)

// A Bare is Tessera alone: it takes any entry of anybody.
type Bare struct {
	files    client.FileFetcher
	append   tessera.AddFn
	await    *tessera.PublicationAwaiter
	shutdown func(context.Context) error
	cancel   context.CancelFunc
}

// Timing is how a log batches and publishes.
type Timing struct {
	Batch      uint
	Age, Every time.Duration // of a batch, and between checkpoints
	Poll       time.Duration // how often who waits looks for a checkpoint
}

// Open opens a log in dir whose checkpoints s signs.
func Open(dir string, s note.Signer, t Timing) (*Bare, error) {
	ctx, cancel := context.WithCancel(context.Background())
	drv, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		cancel()
		return nil, err
	}
	o := tessera.NewAppendOptions().WithCheckpointSigner(s).WithBatching(t.Batch, t.Age).
		WithCheckpointInterval(t.Every).WithCheckpointRepublishInterval(0)
	a, shutdown, reader, err := tessera.NewAppender(ctx, drv, o)
	if err != nil {
		cancel()
		return nil, err
	}
	return &Bare{
		files: client.FileFetcher{Root: dir}, append: a.Add, shutdown: shutdown, cancel: cancel,
		await: tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, t.Poll),
	}, nil
}

// Close waits until everything is in a checkpoint, and closes the log.
func (b *Bare) Close(ctx context.Context) error {
	defer b.cancel()
	return b.shutdown(ctx)
}

// Add returns when a published checkpoint has the entry and a proof of that
// holds: what the write API promises.
func (b *Bare) Add(ctx context.Context, body []byte) error {
	i, raw, err := b.await.Await(ctx, b.append(ctx, tessera.NewEntry(body)))
	if err != nil {
		return err
	}
	var cp checkpoints.Checkpoint
	if _, err := cp.Unmarshal(raw); err != nil {
		return err
	}
	p, err := client.NewProofBuilder(ctx, cp.Size, b.files.ReadTile)
	if err != nil {
		return err
	}
	hashes, err := p.InclusionProof(ctx, i.Index)
	if err != nil {
		return err
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, i.Index, cp.Size, rfc6962.DefaultHasher.HashLeaf(body), hashes, cp.Hash)
}

// BodySize is how many bytes an entry of Fill has.
const BodySize = 500

// bulk is the timing of a log that is filled as fast as it goes.
var bulk = Timing{Batch: 2048, Age: 250 * time.Millisecond, Every: time.Second, Poll: time.Second}

// Fill makes a log of n entries, no two alike, in dir. A million take a minute
// and 700 MB.
func Fill(ctx context.Context, dir string, s note.Signer, n uint64) error {
	b, err := Open(dir, s, bulk)
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next atomic.Uint64
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for from := next.Add(chunk) - chunk; from < n && ctx.Err() == nil; from = next.Add(chunk) - chunk {
				if err := b.fill(ctx, from, min(from+chunk, n)); err != nil {
					fail(err)
				}
			}
		})
	}
	writers.Wait()
	if err := errors.Join(context.Cause(ctx), b.Close(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("filling a log of %d entries: %w", n, err)
	}
	return nil
}

const chunk = 1024 // entries on their way at once; Tessera holds back above 4096

func (b *Bare) fill(ctx context.Context, from, to uint64) error {
	var all []tessera.IndexFuture
	for i := from; i < to; i++ {
		all = append(all, b.append(ctx, tessera.NewEntry(body(i))))
	}
	var errs []error
	for _, f := range all {
		_, err := f()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// body returns bytes that do not compress.
func body(n uint64) []byte {
	random := rand.New(rand.NewPCG(n, 0))
	b := make([]byte, 0, BodySize+8)
	for len(b) < BodySize {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	return b[:BodySize]
}
