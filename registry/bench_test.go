package registry_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/patchfit/patchfit/internal/kept"
	"github.com/patchfit/patchfit/registry/auth"
)

// sink is the connection of an answer nobody looks at. It is used again and
// again: what is measured is the registry.
type sink struct {
	header http.Header
	status int
	size   int
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) { s.status = status }

func (s *sink) Write(b []byte) (int, error) {
	s.size += len(b)
	return len(b), nil
}

// reads returns what a host asks for most, each as a function that asks once,
// of a host whose decision stands.
func reads(t testing.TB) map[string]func() {
	s, one, _, _ := scene(t)
	p, ok := s.State.Principal(s.host)
	if !ok {
		t.Fatal("no host")
	}
	time.Sleep(1100 * time.Millisecond) // younger files are not trusted
	s.look = kept.LookEvery
	s.start()
	all := map[string]func(){}
	for name, ask := range map[string]request{
		"manifest-by-tag":    way(http.MethodGet, manifestPath("patch")),
		"manifest-by-digest": way(http.MethodGet, manifestPath(string(one.PatchManifest))),
		"manifest-head":      way(http.MethodHead, manifestPath("patch")),
		"small-blob":         way(http.MethodGet, blobPath(one.PatchFile.Digest)),
	} {
		r, err := http.NewRequestWithContext(auth.With(t.Context(), p), ask.method, "http://registry.example"+ask.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = accept
		w := &sink{header: make(http.Header, 16)}
		all[name] = func() {
			clear(w.header)
			*w = sink{header: w.header}
			s.oci.ServeHTTP(w, r)
			if w.status != http.StatusOK || w.size == 0 {
				t.Fatalf("%s: status %d, %d bytes", name, w.status, w.size)
			}
		}
		all[name]()
	}
	return all
}

// BenchmarkQuick measures the plain reads of a host, from the request as
// net/http read it to the answer as it takes it.
func BenchmarkQuick(b *testing.B) {
	for name, ask := range reads(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}

// TestQuickAllocations: what a host asks for again makes little garbage.
func TestQuickAllocations(t *testing.T) {
	for name, ask := range reads(t) {
		if n := testing.AllocsPerRun(1000, ask); n > 4 {
			t.Errorf("%s: %v allocations, want at most 4", name, n)
		}
	}
}
