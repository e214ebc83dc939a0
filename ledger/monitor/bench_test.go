package monitor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

const million = 1_000_000

// quickly returns leaves as entryBy does, each its own, made by copying.
func quickly(b *testing.B, leaf []byte) func(i int64) []byte {
	e, err := ledger.ParseEntry(leaf)
	if err != nil {
		b.Fatal(err)
	}
	at := bytes.Index(leaf, []byte(base64.StdEncoding.EncodeToString(e.Digest.Sum())))
	return func(i int64) []byte {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(i))
		sum := sha256.Sum256(n[:])
		own := bytes.Clone(leaf)
		base64.StdEncoding.Encode(own[at:], sum[:])
		return own
	}
}

// BenchmarkMonitorMillion is a monitor's first visit to a log of a million
// entries, over HTTP, with and without looking at who signed them. The log is in
// the same process, and its work is counted, too. heap is the most memory
// that was in use, the log's hashes (64 MB) not counted.
func BenchmarkMonitorMillion(b *testing.B) {
	id, leaf := entryBy(b, newKey(b))
	f := newFake(b)
	f.leaf = quickly(b, leaf(0))
	f.grow(million)
	url := f.serve()
	for _, bb := range []struct {
		name string
		o    Options
	}{
		{"entries", Options{}},
		{"keys", Options{Watched: map[attest.Digest]string{attest.DigestOf(nil): "mine"}, Known: func(e *ledger.Entry) bool { return e.Key.ID() == id }}},
	} {
		b.Run(bb.name, func(b *testing.B) { f.followed(b, url, bb.o) })
	}
}

func (f *fake) followed(b *testing.B, url string, o Options) {
	c, err := client.New(url, nil)
	if err != nil {
		b.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	o.Progress = func(done, _ uint64) {
		if done%(128*256) == 0 {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
		}
	}
	for b.Loop() {
		m, err := Open(Config{Dir: b.TempDir(), Log: c, TrustedRoot: f.root, Tell: func(context.Context, Alert) error { return nil }}, &o)
		if err != nil {
			b.Fatal(err)
		}
		if r, err := m.Visit(b.Context()); err != nil || r.Size != million || r.Alerts > 0 {
			b.Fatalf("%+v, %v", r, err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
	took := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(took, "s")
	b.ReportMetric(million/took, "entries/s")
	b.ReportMetric(float64(max(most, before.HeapInuse)-before.HeapInuse)/1e6, "heap-MB")
}
