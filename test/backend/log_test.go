package backend

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/daemontest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tlog/s3mysql"
	"github.com/patchfit/patchfit/ledger/tlog/tlogtest"
)

const origin = "log.example.org"

// A place is where a log is kept, and its key.
type place struct {
	t       testing.TB
	config  s3mysql.Config
	key     ed25519.PrivateKey
	storage *s3mysql.Storage
}

func newPlace(t testing.TB) *place {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bucket := newBucket(t)
	p := &place{t: t, key: key, config: s3mysql.Config{S3: settings(t, bucket), Bucket: bucket, Prefix: "logs/" + origin, DSN: dsn(newDatabase(t))}}
	if p.storage, err = s3mysql.New(p.config); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) logKey() ledger.LogKey { return ledger.LogKey{Origin: origin, Key: p.key.Public()} }

func everybody(attest.Digest) bool { return true }

func (p *place) open(o *tlog.Options) (*tlog.Log, error) {
	return tlog.OpenOn(context.WithoutCancel(p.t.Context()), p.storage, origin, p.key, o)
}

func (p *place) mustOpen() *tlog.Log {
	p.t.Helper()
	l, err := p.open(&tlog.Options{Allowed: everybody})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { shut(p.t, l) })
	return l
}

func shut(t testing.TB, l *tlog.Log) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

// flip changes a byte of an object.
func (p *place) flip(path string) error {
	ctx, key := context.Background(), p.config.Prefix+"/"+path
	b, err := p.storage.Read(ctx, path)
	if err != nil {
		return err
	}
	b[100] ^= 1
	_, err = awss3.New(awss3.Options{}, p.config.S3).PutObject(ctx, &awss3.PutObjectInput{Bucket: &p.config.Bucket, Key: &key, Body: bytes.NewReader(b)})
	return err
}

// TestContract: a bucket and a database keep a log as the house needs it.
func TestContract(t *testing.T) {
	tlogtest.Run(t, func(t testing.TB) tlogtest.World {
		p := newPlace(t)
		return tlogtest.World{
			Key: p.logKey(),
			Open: func(o tlogtest.Options) (backend.Log, error) {
				opts := &tlog.Options{Allowed: o.Allowed}
				if o.Stalled {
					opts.BatchAge, opts.Waiting = time.Hour, tlogtest.MaxWaiting
				}
				return p.open(opts)
			},
			Damage: func() error { return p.flip("tile/entries/000.p/1") },
		}
	})
}

// TestOneWriter: a second server does not open the log of a first.
func TestOneWriter(t *testing.T) {
	p := newPlace(t)
	p.mustOpen()
	if l, err := p.open(nil); !errors.Is(err, s3mysql.ErrTaken) {
		t.Errorf("a second writer: %v, %v", l, err)
	}
}

// within tries to add an entry until it is in.
func within(t *testing.T, d time.Duration, l *tlog.Log, req *pb.HashedRekordRequestV002) int64 {
	t.Helper()
	deadline := time.Now().Add(d)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		e, _, err := l.Add(ctx, req)
		cancel()
		if err == nil {
			return e.GetLogIndex()
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// TestAwayAndBack takes the database, and then the bucket, from a running log:
// nothing is acknowledged meanwhile, everything is there and goes on after it.
func TestAwayAndBack(t *testing.T) {
	for name, d := range map[string]*daemontest.Daemon{"database": databaseServer, "bucket": bucketServer} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			l := p.mustOpen()
			s := tlogtest.NewSigner(t)
			within(t, time.Minute, l, s.Leaf(t, "before"))
			before, err := l.Checkpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			d.Stop()
			req := s.Leaf(t, "meanwhile")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if e, _, err := l.Add(ctx, req); err == nil {
				t.Errorf("entry %d was acknowledged", e.GetLogIndex())
			}
			cancel()
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			if at := within(t, time.Minute, l, req); at != 1 {
				t.Errorf("entry is at %d, want 1", at)
			}
			within(t, time.Minute, l, s.Leaf(t, "after"))
			cp, err := l.Checkpoint(t.Context())
			if err := errors.Join(err, before.Precedes(cp)); err != nil || cp.Size != 3 {
				t.Errorf("%d entries, %v", cp.Size, err)
			}
			shut(t, l)
			l = p.mustOpen()
			if at := within(t, time.Minute, l, req); at != 1 {
				t.Errorf("after a restart the entry is at %d, want 1", at)
			}
		})
	}
}

// TestMove takes a log from the disk to bucket and database: old proofs verify,
// old entries are where they were, new ones go on, and what is not the same is
// refused.
func TestMove(t *testing.T) {
	p := newPlace(t)
	dir := t.TempDir()
	disk, err := tlog.Open(context.WithoutCancel(t.Context()), dir, origin, p.key, &tlog.Options{Allowed: everybody})
	if err != nil {
		t.Fatal(err)
	}
	s := tlogtest.NewSigner(t)
	const n = 300
	reqs := make([]*pb.HashedRekordRequestV002, n)
	at := make([]int64, n)
	done := make(chan error, n)
	for i := range n {
		reqs[i] = s.Leaf(t, fmt.Sprint(i))
		go func() {
			e, _, err := disk.Add(t.Context(), reqs[i])
			at[i] = e.GetLogIndex()
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	v, err := p.logKey().Verifier()
	if err != nil {
		t.Fatal(err)
	}
	old, _, err := disk.Add(t.Context(), reqs[7])
	if err != nil {
		t.Fatal(err)
	}
	cp, err := disk.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shut(t, disk)
	logger := slog.New(slog.DiscardHandler)

	// Interrupted at once, and then done twice.
	gone, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	_ = tlog.Move(gone, tlog.Disk(dir), p.logKey(), cp, p.storage, logger)
	cancel()
	for range 2 {
		if err := tlog.Move(t.Context(), tlog.Disk(dir), p.logKey(), cp, p.storage, logger); err != nil {
			t.Fatal(err)
		}
	}
	l := p.mustOpen()
	if err := rekorverify.VerifyLogEntry(old, v); err != nil {
		t.Error(err)
	}
	for i := 0; i < n; i += 37 {
		e, dup, err := l.Add(t.Context(), reqs[i])
		if err != nil || !dup || e.GetLogIndex() != at[i] {
			t.Fatalf("entry %d is at %d (duplicate %v, %v)", at[i], e.GetLogIndex(), dup, err)
		}
	}
	if i := within(t, time.Minute, l, s.Leaf(t, "the first new one")); i != n {
		t.Errorf("the first new entry is at %d, want %d", i, n)
	}
	shut(t, l)

	// A log that went on is not moved to again.
	if err := tlog.Move(t.Context(), tlog.Disk(dir), p.logKey(), cp, p.storage, logger); !errors.Is(err, tlog.ErrCorrupt) {
		t.Errorf("moving again: %v, want ErrCorrupt", err)
	}
}

// TestMoveRefusesDifferences: bytes of another log where this one is moved to.
func TestMoveRefusesDifferences(t *testing.T) {
	p := newPlace(t)
	dir := t.TempDir()
	disk, err := tlog.Open(context.WithoutCancel(t.Context()), dir, origin, p.key, &tlog.Options{Allowed: everybody})
	if err != nil {
		t.Fatal(err)
	}
	s := tlogtest.NewSigner(t)
	within(t, time.Minute, disk, s.Leaf(t, "one"))
	cp, err := disk.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shut(t, disk)
	logger := slog.New(slog.DiscardHandler)
	if err := tlog.Move(t.Context(), tlog.Disk(dir), p.logKey(), cp, p.storage, logger); err != nil {
		t.Fatal(err)
	}
	if err := p.flip("tile/entries/000.p/1"); err != nil {
		t.Fatal(err)
	}
	if err := tlog.Move(t.Context(), tlog.Disk(dir), p.logKey(), cp, p.storage, logger); !errors.Is(err, tlog.ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}
