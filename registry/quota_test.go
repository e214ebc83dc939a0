package registry_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestQuotaRace: uploads that end at once do not share what is left of a quota.
func TestQuotaRace(t *testing.T) {
	s := newServer(t)
	s.oci.Limits.PublisherBytes = 150
	s.journal.pause = 50 * time.Millisecond // so that all of them are asked before one is on record
	var all sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		b := fmt.Appendf(nil, "%0100d", i)
		all.Go(func() { statuses[i] = s.post(s.publisher, repo, sum(b), b).status })
	}
	all.Wait()
	taken := 0
	for _, status := range statuses {
		switch status {
		case http.StatusCreated:
			taken++
		case http.StatusForbidden:
		default:
			t.Errorf("status %d", status)
		}
	}
	if used, _ := s.State.Usage(repo, s.publisher); taken != 1 || used != 100 {
		t.Errorf("%d of 100 bytes each were taken, %d bytes are used, want 1 within the quota of 150", taken, used)
	}
}
