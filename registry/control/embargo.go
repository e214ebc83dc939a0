package control

import (
	"fmt"
	"slices"
	"time"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// maxCohort is how many hosts an embargo can name.
const maxCohort = 1000

// embargo keeps a product, or one patch of it, from every host that is not
// named, or ends that. It takes effect with its record.
func (c *call) embargo() (answer, error) {
	var q api.NewEmbargo
	if err := c.read(&q); err != nil {
		return nil, err
	}
	if err := c.inProduct(q.Product); err != nil {
		return nil, err
	}
	if err := checkEmbargo(q, time.Now()); err != nil {
		return nil, err
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	if _, ok := c.s.State.Repository(q.Product); !ok {
		return nil, notFound("no product %.100q", q.Product)
	}
	if _, held := c.s.State.Embargo(q.Product, q.Patch); q.Lift && !held {
		return nil, conflict("nothing is embargoed there").Hint("list what is: patchfit admin embargo PRODUCT --list")
	}
	hosts := slices.Clone(q.Hosts)
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	for _, id := range hosts {
		if h, ok := c.s.State.Host(id); !ok || !slices.Contains(h.Products, q.Product) {
			return nil, notFound("no host %.100q in product %s", id, q.Product).Hint("enrol it first: patchfit admin token")
		}
	}
	r, err := c.append(ledger.KindEmbargo, ledger.Embargoed{
		Product: q.Product, Patch: q.Patch, Until: q.Until.UTC(), Hosts: hosts, Lifted: q.Lift, By: c.who.ID,
	})
	return answered(api.Done{SchemaVersion: api.SchemaVersion, Sequence: r.Sequence}, err)
}

func checkEmbargo(q api.NewEmbargo, now time.Time) error {
	switch {
	case q.Lift && (len(q.Hosts) > 0 || !q.Until.IsZero()):
		return invalid(strictjson.Errorf("/lift", "with hosts or an end"))
	case len(q.Hosts) > maxCohort:
		return invalid(strictjson.Errorf("/hosts", "%d hosts, want at most %d", len(q.Hosts), maxCohort))
	case !q.Until.IsZero() && !now.Before(q.Until):
		return invalid(fmt.Errorf("/until: %s is over", q.Until.UTC().Format(time.RFC3339)))
	}
	return nil
}

// embargoes lists what is embargoed in a product, and what was until its end.
func (c *call) embargoes() (answer, error) {
	q, err := c.query("product")
	if err != nil {
		return nil, err
	}
	if err := c.inProduct(q["product"]); err != nil {
		return nil, err
	}
	v := api.Embargoes{SchemaVersion: api.SchemaVersion, Product: q["product"], Embargoes: []api.Embargo{}}
	now := time.Now()
	for _, e := range c.s.State.Embargoes(q["product"]) {
		v.Embargoes = append(v.Embargoes, shownEmbargo(e, now))
	}
	return answered(v, nil)
}

func shownEmbargo(e state.Embargo, now time.Time) api.Embargo {
	return api.Embargo{
		Patch: e.Patch, Until: e.Until, Over: !e.Until.IsZero() && !now.Before(e.Until), Hosts: e.Hosts,
		Since: e.Since, Sequence: e.Sequence, By: e.By,
	}
}
