package tlog

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tlog/tlogtest"
)

// BenchmarkAppend compares this log with bare Tessera, which takes anything and
// knows nothing: writers who each add an entry, wait until it is in a published
// checkpoint and proven, and add the next. They take turns. Reported is our rate
// over Tessera's, the median of the turns, and ours.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ writers, each int }{{1, 8}, {64, 4}, {512, 4}} {
		b.Run(fmt.Sprintf("writers=%d", c.writers), func(b *testing.B) { benchmarkAppend(b, c.writers, c.each) })
	}
}

func benchmarkAppend(b *testing.B, writers, each int) {
	h := newHouse(b)
	h.opts.BatchAge = 0
	ours := h.open()
	s, err := h.signer()
	if err != nil {
		b.Fatal(err)
	}
	bare, err := tlogtest.Open(b.TempDir(), s, tlogtest.Timing{
		Batch: batchSize, Age: DefaultBatchAge, Every: DefaultCheckpointInterval, Poll: DefaultBatchAge,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := bare.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	var ratios []float64
	var took time.Duration
	for b.Loop() {
		asked, bodies := manyLeaves(b, 2*writers*each)
		var m, o time.Duration
		for turn, our := range []bool{true, false, false, true} { // who is first is last
			from := turn / 2 * writers * each
			if our {
				m += race(b, writers, each, func(i int) error {
					_, _, err := ours.Add(b.Context(), asked[from+i])
					return err
				})
			} else {
				o += race(b, writers, each, func(i int) error { return bare.Add(b.Context(), bodies[from+i]) })
			}
		}
		took += m
		ratios = append(ratios, o.Seconds()/m.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(float64(2*writers*each*len(ratios))/took.Seconds(), "entries/s")
}

// manyLeaves returns leaves that are all different, and what they are in a log.
func manyLeaves(b *testing.B, n int) (asked []*pb.HashedRekordRequestV002, bodies [][]byte) {
	b.Helper()
	s, pub := newSigner(b)
	for i := range n {
		req := newLeaf(b, s, pub, fmt.Sprint(i))
		body, err := ledger.LeafBody(req)
		if err != nil {
			b.Fatal(err)
		}
		asked, bodies = append(asked, req), append(bodies, body)
	}
	return asked, bodies
}

// race has so many writers do each their share, and returns how long it took.
func race(b *testing.B, writers, each int, add func(i int) error) time.Duration {
	b.Helper()
	var running sync.WaitGroup
	start := time.Now()
	for w := range writers {
		running.Go(func() {
			for i := range each {
				if err := add(w*each + i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	return time.Since(start)
}

const (
	few  = 10_000
	many = 1_000_000
)

// bulkLogs are logs of few and of many entries, made once in a process, because
// that takes minutes.
var bulkLogs = sync.OnceValues(fill)

type filledLogs struct{ few, many *house }

func fill() (*filledLogs, error) {
	dir, err := os.MkdirTemp("", "patchfit-filled-")
	if err != nil {
		return nil, err
	}
	filledDir = dir
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	l := &filledLogs{few: &house{dir: filepath.Join(dir, "few"), key: key}, many: &house{dir: filepath.Join(dir, "many"), key: key}}
	for h, n := range map[*house]uint64{l.few: few, l.many: many} {
		s, err := h.signer()
		if err == nil {
			err = tlogtest.Fill(context.Background(), h.dir, s, n)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

var filledDir string // to be removed in the end; "": nothing was filled

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(filledDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// signer signs checkpoints of the house's log, whatever they say.
func (h *house) signer() (note.Signer, error) {
	g, err := newGuard(origin, h.key, client.FileFetcher{Root: h.dir}, nil)
	if err != nil {
		return nil, err
	}
	return g.inner, nil
}

// BenchmarkProof compares how long an inclusion proof takes, built and checked,
// in a log of a million entries and in one of ten thousand, in turns: it reads
// one tile more. The first run fills the logs.
func BenchmarkProof(b *testing.B) {
	logs, err := bulkLogs()
	if err != nil {
		b.Fatal(err)
	}
	short, long := newProver(b, logs.few), newProver(b, logs.many)
	for b.Loop() {
		short.one(b)
		long.one(b)
	}
	slices.Sort(short.took)
	slices.Sort(long.took)
	p50, p99 := long.took[len(long.took)/2], long.took[len(long.took)*99/100]
	b.ReportMetric(float64(p50)/float64(short.took[len(short.took)/2]), "ratio")
	b.ReportMetric(float64(p50.Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(p99.Nanoseconds())/1e3, "p99-µs")
}

// A prover asks a log that takes nothing in for proofs of its entries.
type prover struct {
	log    *Log
	size   uint64
	random *mathrand.Rand
	took   []time.Duration
}

func newProver(b *testing.B, h *house) *prover {
	b.Helper()
	files := Disk(h.dir)
	l := &Log{ctx: b.Context(), files: files, tiles: newTiles(files), latest: newLatest([]ledger.LogKey{h.logKey()}, files)}
	cp, err := l.latest.read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return &prover{log: l, size: cp.Size, random: mathrand.New(mathrand.NewPCG(1, 2))}
}

// one proves an entry somewhere in the log. Reading the entry is not counted.
func (p *prover) one(b *testing.B) {
	index := p.random.Uint64N(p.size)
	body, err := p.log.Leaf(b.Context(), index)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	_, err = p.log.prove(b.Context(), index, body)
	p.took = append(p.took, time.Since(start))
	if err != nil {
		b.Fatal(err)
	}
}
