package repository_test

import (
	"testing"
	"time"

	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/repository"
)

func TestExpiries(t *testing.T) {
	within(t, func(w *world) {
		r := w.open()
		if all, err := r.Expiries(time.Now()); all != nil || err != nil {
			t.Errorf("no repository: %v, %v", all, err)
		}
		w.Release(w.policy)
		w.accept()
		all, err := r.Expiries(time.Now())
		if err != nil || len(all) != 4 {
			t.Fatalf("got %v, %v", all, err)
		}
		for role, b := range map[string][]byte{tuf.RoleRoot: w.now.Root(), tuf.RoleTargets: w.now.Targets, tuf.RoleSnapshot: w.now.Snapshot} {
			if h, err := tuf.ReadHeading(role, b); err != nil || !all[role].Equal(h.Expires) {
				t.Errorf("%s: %v, want %v", role, all[role], h.Expires)
			}
		}
		if got := time.Until(all[tuf.RoleTimestamp]); got <= repository.Lifetime/2 || got > repository.Lifetime {
			t.Errorf("nobody asked yet, and the timestamp is good for %v", got)
		}
		made := time.Now()
		time.Sleep(20 * time.Hour) // nobody asks
		if all, err := r.Expiries(time.Now()); err != nil || all[tuf.RoleTimestamp].Before(made.Add(40*time.Hour)) {
			t.Errorf("it was not made again: %v, %v", all, err)
		}
		w.keys = nil
		time.Sleep(20 * time.Hour)
		last, err := r.Expiries(time.Now())
		if err != nil || !last[tuf.RoleTimestamp].After(time.Now()) {
			t.Errorf("the key is gone, the last is still good: %v, %v", last, err)
		}
		time.Sleep(20 * time.Hour)
		over, err := r.Expiries(time.Now())
		if err == nil || over[tuf.RoleTimestamp].After(time.Now()) || over[tuf.RoleRoot].IsZero() {
			t.Errorf("the key is gone, the last is over: %v, %v", over, err)
		}
	})
}
