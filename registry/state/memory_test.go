package state_test

import (
	"errors"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// closable is a ledger store that can be taken away.
type closable struct {
	*statetest.Blobs
	closed bool
}

func (c *closable) Get(d attest.Digest) ([]byte, error) {
	if c.closed {
		return nil, errors.New("asked for bytes on the decision path")
	}
	return c.Blobs.Get(d)
}

// TestDecidesFromMemory: once the state is ready, deciding reads no bytes.
func TestDecidesFromMemory(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	blobs := &closable{Blobs: h.Blobs}
	s := state.New(blobs, h.Site())
	for _, r := range h.Journal.Records() {
		if err := s.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetReady(); err != nil {
		t.Fatal(err)
	}
	blobs.closed = true
	f, ok := s.Facts(host, repo, w.PatchManifest, h.Now)
	if !ok || !policy.Decide(f).Allow {
		t.Errorf("without the ledger store: facts %v", ok)
	}
}
