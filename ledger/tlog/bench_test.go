package tlog

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// BenchmarkLogWrite is one writer who adds an entry, waits for its proof, and
// adds the next, over HTTP. It reports the median and the 99th percentile of
// how long that takes, with the options a server runs with.
func BenchmarkLogWrite(b *testing.B) {
	h := newHouse(b)
	h.opts.BatchAge = 0
	srv := httptest.NewServer(h.open())
	defer srv.Close()
	var took []time.Duration
	for b.Loop() {
		body := request(b, leaf(b))
		start := time.Now()
		r, err := http.Post(srv.URL+"/api/v2/log/entries", "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			b.Fatal(err)
		}
		if reply := text(b, r); r.StatusCode != http.StatusCreated {
			b.Fatal(r.Status, reply)
		}
		r.Body.Close()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
}
