package state_test

import (
	"sync"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// TestReadersWhileApplying: an allow is never decided on half of a record. It
// is for the race detector too.
func TestReadersWhileApplying(t *testing.T) {
	h := statetest.New(t)
	h.Journal.Time = h.Now
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var epoch int64
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, ok := h.State.View(host, statetest.Repository, w.PatchManifest, h.Now)
				if !ok || v.Epoch < epoch || v.Facts.Host.Sequence != v.Record || v.Facts.Trust.Envelope() != v.Policy {
					t.Errorf("view %+v, ok %v, after epoch %d", v, ok, epoch)
					return
				}
				if allow := policy.Decide(v.Facts).Allow; !allow && v.Facts.Revoked.By(h.Product.ID, attest.RevokeSubject, w.PatchManifest) == nil {
					t.Error("denied with nothing revoked")
					return
				}
				epoch = v.Epoch
				h.State.Evidence(statetest.Repository, w.PatchManifest)
				h.State.Manifests(statetest.Repository, attest.ArtifactPatch)
				h.State.Bases(host)
			}
		})
	}
	h.Publish("two")
	h.Record(host, key, 2, w)
	p := h.TrustPolicy(h.Product)
	p.Version, p.Roots = 2, attest.Roots{Threshold: 1, Keys: []string{h.Root.Public.Base64()}}
	h.Trust(p)
	h.RevokeIt(attest.RevokeSubject, w.PatchManifest)
	close(stop)
	readers.Wait()
}
