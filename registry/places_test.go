package registry_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
)

// TestAttackManyAtOnce: a rebuilder has no more places by asking for many at the
// same time, and the one that was left is had by one of them.
func TestAttackManyAtOnce(t *testing.T) {
	s, one, _, _ := scene(t)
	who, _ := s.Principal("rebuilder", state.RoleRebuilder)
	s.pushBlob(who, repo, rebuildLog)
	put := func(i int) int {
		d := artifact(attest.ArtifactRebuild, octets, rebuildLog, one.patch)
		d["annotations"] = doc{"n": strconv.Itoa(i)}
		raw := d.bytes(t)
		return s.putManifest(who, repo, sum(raw), raw).status
	}
	const most, many = 50, 30
	for i := range most - 1 {
		if status := put(i); status != http.StatusCreated {
			t.Fatalf("%d: %d", i, status)
		}
	}
	s.journal.pause = 20 * time.Millisecond
	statuses := make([]int, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { statuses[i] = put(most + i) })
	}
	all.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[http.StatusCreated] != 1 || count[http.StatusForbidden] != many-1 {
		t.Errorf("of %d at once, one place left: %v", many, count)
	}
	if status := put(most - 2); status != http.StatusCreated {
		t.Errorf("one that is there: %d", status)
	}
}
