package notify

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/ledger/internal/disk/disktest"
)

// TestBehind: an endpoint that does not answer falls behind, the other does not.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		in := &inbox{answer: func(p post) (*http.Response, error) {
			if p.host == "away.example" {
				return status(500), nil
			}
			return status(204), nil
		}}
		n := start(t, disktest.New(), config(b, endpoint("away"), endpoint("here")), in)
		defer n.Close()
		b.tags(t, 5)
		time.Sleep(3 * time.Second)
		got, err := n.Behind()
		if diff := cmp.Diff(map[string]int64{"away": 10, "here": 0}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
}
