package registry_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
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
	s.nothingIsOpen("above the quota")
	if used, _ := s.State.Usage(repo, s.publisher); taken != 1 || used != 100 {
		t.Errorf("%d of 100 bytes each were taken, %d bytes are used, want 1 within the quota of 150", taken, used)
	}
}

// TestAboveTheQuota: what is refused at its end holds no room, in uploads or in
// no repository, and what is there already is none.
func TestAboveTheQuota(t *testing.T) {
	s := newServer(t)
	s.oci.Limits.RepositoryBytes = 150
	first, second := make([]byte, 100), make([]byte, 60)
	s.pushBlob(s.publisher, repo, first)
	begun := s.must(http.StatusAccepted, request{who: s.publisher, method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"})
	end := request{who: s.publisher, method: http.MethodPut, path: begun.header.Get("Location") + "&digest=" + sum(second), body: second, header: http.Header{"Content-Type": {octets}}}
	if r := s.send(end); r.status != http.StatusForbidden || !strings.HasPrefix(r.message(), "QUOTA: ") {
		t.Errorf("160 of 150 bytes: %d %s", r.status, r.body)
	}
	s.nothingIsOpen("above the quota")
	if _, err := os.Stat(s.file(attest.DigestOf(second))); err == nil {
		t.Error("its bytes are kept")
	}
	s.pushBlob(s.publisher, repo, first)
}
