package registry_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/collect"
)

// collector returns one that runs beside the server.
func (s *server) collector() *collect.Collector {
	return collect.New(collect.Config{State: s.State, Content: s.oci.Content, Journal: s.journal, Alone: s.oci.Alone}, nil)
}

// TestCollectionBesidePushes: whatever a collection without any grace takes
// away in the meantime, a manifest that was acknowledged has its blobs, and a
// push it got in the way of is refused whole.
func TestCollectionBesidePushes(t *testing.T) {
	s := newServer(t)
	k := s.collector()
	s.oci.Slow(true) // errors of reading are told by the slow way
	done := make(chan struct{})
	var collected int
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			r, err := k.Collect(t.Context(), collect.Run{Grace: time.Nanosecond})
			if err != nil {
				t.Errorf("collecting: %v", err)
			}
			collected += r.Blobs
		}
	})
	var pushes sync.WaitGroup
	var mu sync.Mutex
	kept, refused := make(map[attest.Digest][]byte), 0
	for worker := range 4 {
		pushes.Go(func() {
			for i := range 40 {
				file := fmt.Appendf(nil, "file %d of %d", i/2, worker)
				s.pushBlob(s.publisher, repo, empty)
				d := s.pushBlob(s.publisher, repo, file)
				raw := artifact("application/vnd.example", octets, file, nil)
				raw["annotations"] = doc{"n": fmt.Sprint(i)}
				m := raw.bytes(t)
				if r := s.get(s.publisher, blobPath(d)); r.status != http.StatusOK && r.status != http.StatusNotFound {
					t.Errorf("reading beside a collection: %d %s", r.status, r.body)
				}
				switch r := s.putManifest(s.publisher, repo, string(attest.DigestOf(m)), m); r.status {
				case http.StatusCreated:
					mu.Lock()
					kept[d] = file
					mu.Unlock()
				case http.StatusBadRequest:
					if r.code() != "MANIFEST_BLOB_UNKNOWN" {
						t.Errorf("%d %s", r.status, r.body)
					}
					mu.Lock()
					refused++
					mu.Unlock()
				default:
					t.Errorf("%d %s", r.status, r.body)
				}
			}
		})
	}
	pushes.Wait()
	close(done)
	beside.Wait()
	for d, file := range kept {
		if r := s.get(s.publisher, blobPath(d)); r.status != http.StatusOK || string(r.body) != string(file) {
			t.Errorf("acknowledged, and then: %d %s", r.status, r.body)
		}
	}
	t.Logf("%d manifests kept, %d pushes refused, %d blobs collected", len(kept), refused, collected)
	if len(kept) == 0 || collected == 0 {
		t.Error("the collection and the pushes did not meet")
	}
}
