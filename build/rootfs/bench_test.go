package rootfs

import (
	"archive/tar"
	"fmt"
	"testing"
	"time"
)

// BenchmarkUnpack is an image of 20,000 small files in one layer: again, and the
// first time.
func BenchmarkUnpack(b *testing.B) {
	const files = 20_000
	entries := make([]tar.Header, files)
	for i := range entries {
		entries[i] = reg(fmt.Sprintf("usr/%d/%d/%d", i%7, i%311, i))
	}
	s := &store{}
	d := s.image(b, layer(b, entries...))
	cache := openCache(b, nil)
	b.Run("warm", func(b *testing.B) {
		unpack(b, cache, s, d)
		for b.Loop() {
			r, err := cache.Unpack(b.Context(), s, d)
			if err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms")
	})
	b.Run("cold", func(b *testing.B) {
		var all time.Duration
		for b.Loop() {
			cache := openCache(b, nil)
			began := time.Now()
			r, err := cache.Unpack(b.Context(), s, d)
			all += time.Since(began)
			if err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
		b.ReportMetric(all.Seconds()*1e6/float64(b.N)/files, "µs/file")
	})
}
