package repository

import (
	"time"

	"github.com/patchfit/patchfit/ledger/tuf"
)

// Expiries returns until when the metadata of each role is good; nil where
// there is no repository. The timestamp is made first where that is due, as it
// would be for a client: a server that nobody asks for a day has a good one all
// the same, and one that cannot make it shows.
func (r *Repository) Expiries(now time.Time) (map[string]time.Time, error) {
	current, _ := r.source.TUF()
	if current == nil {
		return nil, nil
	}
	stamp, err := r.stamp(current, now)
	if err != nil {
		r.mu.Lock()
		stamp = r.timestamp // what there was
		r.mu.Unlock()
	}
	all := make(map[string]time.Time)
	for role, b := range map[string][]byte{tuf.RoleRoot: current.Root(), tuf.RoleTargets: current.Targets, tuf.RoleSnapshot: current.Snapshot} {
		h, err := tuf.ReadHeading(role, b)
		if err != nil {
			return nil, err
		}
		all[role] = h.Expires
	}
	all[tuf.RoleTimestamp] = time.Time{} // none that counts
	if t, err := tuf.OpenTimestamp(current.Root(), stamp); err == nil {
		all[tuf.RoleTimestamp] = t.Expires
	}
	return all, err
}
