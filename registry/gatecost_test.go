package registry_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patchfit/patchfit/ledger"
)

// BenchmarkPullGateOnOff pulls a patch that a decision stands for, its manifest
// and then its file, over loopback: from a server, and from the same server
// without its gate. They take turns in short batches, so that what else the
// machine does is in both. Reported is throughput with the gate over throughput
// without, the median of the turns, and the same of this process's time in all.
func BenchmarkPullGateOnOff(b *testing.B) {
	s := newServer(b)
	w := s.publish("one")
	s.runs(s.host, s.hostKey, w)
	ungated := httptest.NewServer(s.asked(s.oci.ServeUngated))
	defer ungated.Close()
	paths := []string{manifestPath(string(w.PatchManifest)), blobPath(w.Patch.File.Digest)}
	on := newPuller(b, strings.TrimPrefix(s.url, "http://"), s.host, paths)
	off := newPuller(b, ungated.Listener.Addr().String(), s.host, paths)
	time.Sleep(1100 * time.Millisecond) // files are remembered once a change would show
	for _, p := range []*puller{on, off} {
		p.batch()
	}
	decisions := s.count(ledger.KindDecision)
	var rates []float64
	var worked [2]time.Duration
	for b.Loop() {
		first, second := on, off
		if len(rates)%2 == 1 {
			first, second = off, on
		}
		first.batch()
		second.batch()
		rates = append(rates, off.took.Seconds()/on.took.Seconds())
		worked[0], worked[1] = worked[0]+on.work, worked[1]+off.work
	}
	if n := s.count(ledger.KindDecision); decisions != 1 || n != 1 {
		b.Fatalf("%d decisions were recorded before and %d after, want the one that stands", decisions, n)
	}
	slices.Sort(rates)
	b.ReportMetric(rates[len(rates)/2], "ratio")
	b.ReportMetric(worked[1].Seconds()/worked[0].Seconds(), "cpu-ratio")
	b.ReportMetric(float64(worked[0].Nanoseconds())/1e3/float64(len(rates)*pulls), "cpu-µs/pull")
}

// pulls is how many are in a batch: a millisecond's, so that few are interrupted.
const pulls = 20

// A puller pulls on one connection, and does no more for it than it has to.
type puller struct {
	b    *testing.B
	conn net.Conn
	in   *bufio.Reader
	asks [][]byte

	took, work time.Duration // of the last batch: by the clock, and of processors
}

func newPuller(b *testing.B, address, who string, paths []string) *puller {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() }) // the figures are taken
	p := &puller{b: b, conn: conn, in: bufio.NewReader(conn)}
	for _, path := range paths {
		p.asks = append(p.asks, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\nAccept: %s\r\n\r\n", path, address, whoHeader, who, mediaManifest))
	}
	return p
}

func (p *puller) batch() {
	p.b.Helper()
	start, before := time.Now(), spent(p.b)
	for range pulls {
		for _, ask := range p.asks {
			p.pull(ask)
		}
	}
	p.took, p.work = time.Since(start), spent(p.b)-before
}

func (p *puller) pull(ask []byte) {
	p.b.Helper()
	if _, err := p.conn.Write(ask); err != nil {
		p.b.Fatal(err)
	}
	length := -1
	for i := 0; ; i++ {
		line, err := p.in.ReadSlice('\n')
		switch {
		case err != nil:
			p.b.Fatal(err)
		case i == 0 && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			p.b.Fatalf("%s%s", ask, line)
		case len(line) == 2:
			if n, err := p.in.Discard(length); err != nil {
				p.b.Fatalf("a body of %d bytes, want %d: %v", n, length, err)
			}
			return
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			if _, err := fmt.Sscan(string(line[len("Content-Length: "):]), &length); err != nil {
				p.b.Fatal(err)
			}
		}
	}
}

// spent returns the processor time of this process.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestUngatedIsOfTheTests: what the benchmark compares with answers a host that
// the server itself refuses, or the benchmark would compare the gate with itself.
func TestUngatedIsOfTheTests(t *testing.T) {
	s, one, _, _ := scene(t)
	q := request{who: s.otherHost, method: http.MethodGet, path: manifestPath(string(one.PatchManifest)), header: accept}
	s.must(http.StatusForbidden, q)
	ungated := httptest.NewServer(s.asked(s.oci.ServeUngated))
	defer ungated.Close()
	gated := s.url
	s.url = ungated.URL
	s.must(http.StatusOK, q)
	s.url = gated
	s.must(http.StatusForbidden, q)
}
