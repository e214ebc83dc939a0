package control

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/registry/api"
)

// takeTUF takes the next state of the TUF repository. It is verified whole
// before any of it is stored; the bytes are stored before the record, and the
// record is the switch. A trust policy among the targets that is not in effect
// yet takes effect first, by the same rules as one that is pushed alone: after
// a crash between the two, the same request does the rest.
func (c *call) takeTUF() (answer, error) {
	if err := c.onServer(); err != nil {
		return nil, err
	}
	if c.s.Timestamps == nil {
		return nil, notFound("this server has no key for timestamps")
	}
	var q api.TUFOffer
	if err := c.readUpTo(api.MaxTUF, &q); err != nil {
		return nil, err
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	current := c.s.State.TUFBefore()
	next, err := tuf.Accept(current, offerOf(q))
	if errors.Is(err, tuf.ErrSame) {
		return tufInEffect(current)
	}
	if err != nil {
		return nil, invalid(err).Hint("see which signatures are missing: patchfit trust tuf show")
	}
	if err := next.Current(time.Now()); err != nil {
		return nil, invalid(err).Hint("make the next version: patchfit trust tuf root, patchfit trust tuf targets")
	}
	if err := c.s.Timestamps.CanSign(next.Root()); err != nil {
		return nil, invalid(err).Hint("the root's timestamp key has to be this server's own, whose public key is in DATA/tuf-timestamp.pub")
	}
	if err := c.policyOfTUF(next); err != nil {
		return nil, err
	}
	if err := c.journalTUF(current, next); err != nil {
		return nil, err
	}
	return tufInEffect(next)
}

func offerOf(q api.TUFOffer) tuf.Offer {
	o := tuf.Offer{Targets: []byte(q.Targets), Snapshot: []byte(q.Snapshot), Files: make(map[string][]byte, len(q.Files))}
	for _, r := range q.Roots {
		o.Roots = append(o.Roots, []byte(r))
	}
	for name, b := range q.Files {
		o.Files[name] = []byte(b)
	}
	return o
}

// policyOfTUF puts the trust policy among the targets into effect, if another
// one is.
func (c *call) policyOfTUF(r *tuf.Repository) error {
	current, have := c.s.State.TrustPolicy()
	envelope := r.Files[tuf.TrustPolicy]
	if bytes.Equal(have, envelope) {
		return nil
	}
	p, err := nextTrustPolicy(current, envelope)
	if err != nil {
		return err
	}
	return c.journalTrustPolicy(p, envelope)
}

// journalTUF stores what is new in next and records it.
func (c *call) journalTUF(current, next *tuf.Repository) error {
	var kept int
	if current != nil {
		kept = len(current.Roots)
	}
	h, err := tuf.ReadHeading(tuf.RoleSnapshot, next.Snapshot)
	if err != nil {
		return err
	}
	body := ledger.TUFAccepted{Version: h.Version, Roots: []attest.Digest{}, Files: make(map[string]attest.Digest), By: c.who.ID}
	for _, root := range next.Roots[kept:] {
		d, err := c.put(root)
		if err != nil {
			return err
		}
		body.Roots = append(body.Roots, d)
	}
	if body.Targets, err = c.put(next.Targets); err != nil {
		return err
	}
	if body.Snapshot, err = c.put(next.Snapshot); err != nil {
		return err
	}
	for name, b := range next.Files {
		if body.Files[name], err = c.put(b); err != nil {
			return err
		}
	}
	_, err = c.append(ledger.KindTUF, body)
	return err
}

func tufInEffect(r *tuf.Repository) (answer, error) {
	v := api.TUFAccepted{SchemaVersion: api.SchemaVersion, Root: int64(len(r.Roots))}
	targets, err := tuf.ReadHeading(tuf.RoleTargets, r.Targets)
	if err != nil {
		return nil, err
	}
	snapshot, err := tuf.ReadHeading(tuf.RoleSnapshot, r.Snapshot)
	if err != nil {
		return nil, err
	}
	v.Targets, v.Snapshot = targets.Version, snapshot.Version
	p, err := r.Policy()
	if err != nil {
		return nil, fmt.Errorf("reading the repository in effect: %w", err)
	}
	v.Policy = p.Version
	return func(w http.ResponseWriter) { api.WriteJSON(w, http.StatusOK, v) }, nil
}
