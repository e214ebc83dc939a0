package tlog

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/patchfit/patchfit/ledger/backend"
	"github.com/patchfit/patchfit/ledger/tlog/tlogtest"
)

// TestContract: Tessera on a disk keeps a log as the house needs it.
func TestContract(t *testing.T) {
	t.Parallel()
	tlogtest.Run(t, func(t testing.TB) tlogtest.World {
		h := newHouse(t)
		return tlogtest.World{
			Key: h.logKey(),
			Open: func(o tlogtest.Options) (backend.Log, error) {
				opts := h.opts
				opts.Allowed = o.Allowed
				if o.Stalled {
					opts.BatchAge, opts.Waiting = time.Hour, tlogtest.MaxWaiting
				}
				return Open(t.Context(), h.dir, origin, h.key, &opts)
			},
			Damage: func() error {
				h.change(filepath.Join("tile", "entries", "000.p", "1"), flip(100))
				return nil
			},
		}
	})
}

var _ backend.Log = (*Log)(nil)
