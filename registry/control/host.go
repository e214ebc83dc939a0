package control

import (
	"crypto/hmac"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// enrol makes a host known: it has a token nobody used, and the private key of
// the public key it names.
func (c *call) enrol() (answer, error) {
	var q api.Enrol
	if err := c.read(&q); err != nil {
		return nil, err
	}
	t, err := api.ParseEnrolmentToken(q.Token)
	if err != nil {
		return nil, invalid(strictjson.Errorf("/token", "%v", err))
	}
	if err := checkLabel("/name", q.Name); err != nil {
		return nil, err
	}
	key, err := attest.ParseLoginKey(q.Key)
	if err != nil {
		return nil, invalid(strictjson.Errorf("/key", "%v", err))
	}
	var proven bool
	if e := c.s.Auth.Check(c.r.Context(), func() { proven = api.VerifyEnrolmentProof(key, t.ID, q.Proof) }); e != nil {
		return nil, e
	}
	if !proven {
		return nil, c.s.Auth.Failed(c.r, t.ID, invalid(strictjson.Errorf("/proof", "not a signature of this key over this token")))
	}
	host, err := c.useToken(t, q.Name, key)
	if err != nil {
		return nil, err
	}
	return answered(api.Enrolled{SchemaVersion: api.SchemaVersion, Host: host.Host, Products: host.Products}, nil)
}

// useToken uses up a token. Of many who try, one gets a host.
func (c *call) useToken(t *api.EnrolmentToken, name string, key *attest.PublicKey) (*ledger.HostEnrolled, error) {
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	known, ok := c.s.State.Token(t.ID)
	same := hmac.Equal([]byte(known.MAC), []byte(c.s.mac(t.Secret)))
	if !ok || !same || known.Used || !time.Now().Before(known.Expires) {
		e := api.Errorf(http.StatusForbidden, api.CodeNoToken, "the enrolment token is not known, was used, or is over").Hint("ask for a new one: patchfit admin token")
		return nil, c.s.Auth.Failed(c.r, t.ID, e)
	}
	if err := c.freeKey(key); err != nil {
		return nil, err
	}
	h := ledger.HostEnrolled{Host: uuid.NewString(), Name: name, Key: key.Base64(), Products: known.Products, Token: t.ID, State: api.HostActive}
	_, err := c.append(ledger.KindHost, h)
	return &h, err
}

// self clears the call for a host that speaks of itself, and is active.
func (c *call) self() (*state.Host, error) {
	h, err := c.aboutHost(c.hostID())
	if err != nil {
		return nil, err
	}
	if h.State != state.Active {
		return nil, api.Errorf(http.StatusForbidden, string(verify.HostNotActive), "host %s is %s", h.ID, h.State).Hint("ask an admin of this server")
	}
	return h, nil
}

func (c *call) challenge() (answer, error) {
	if err := c.read(&struct{}{}); err != nil {
		return nil, err
	}
	h, err := c.self()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	nonce, expires := c.s.challenges.issue(h.ID, now)
	return answered(api.Challenge{
		SchemaVersion: api.SchemaVersion, Nonce: nonce, Sequence: h.Sequence() + 1,
		Expires: expires.UTC().Truncate(time.Second), Time: now.UTC().Truncate(time.Second),
	}, nil)
}

// maxRecord is the longest envelope of a host record that is read, in bytes:
// twice what the most measurements need.
const maxRecord = 64 << 10

// record takes a host's record: signed by its key, an answer to a challenge of
// ours, newer than the last one, and not one too many.
func (c *call) record() (answer, error) {
	envelope, err := c.raw(maxRecord)
	if err != nil {
		return nil, err
	}
	id := c.hostID()
	lock := c.s.hostLock(id)
	lock.Lock()
	defer lock.Unlock()
	h, err := c.self()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	nonce := c.s.challenges.open(h.ID, claimedNonce(envelope), now)
	record, err := verify.HostRecord(envelope, h.Key, verify.Host{ID: h.ID, After: h.Sequence(), Nonce: nonce, Now: now})
	if err != nil {
		return nil, refused(err)
	}
	if wait := c.s.pace.take(h.ID, now); wait > 0 {
		return nil, tooManyRecords(h.ID, wait)
	}
	c.s.challenges.use(h.ID, nonce)
	d, err := c.put(envelope)
	if err != nil {
		return nil, err
	}
	taken, err := c.append(ledger.KindHostRecord, ledger.HostRecorded{Host: h.ID, Sequence: record.Sequence, Envelope: d})
	if err != nil {
		return nil, err
	}
	return answered(api.Recorded{SchemaVersion: api.SchemaVersion, Sequence: record.Sequence, Received: taken.Time, Bases: c.bases(h)}, nil)
}

// claimedNonce returns the challenge a record says it answers; "" where there
// is none to read. Nothing is verified yet.
func claimedNonce(envelope []byte) string {
	if r, err := attest.ClaimedHostRecord(envelope); err == nil {
		return r.Nonce
	}
	return ""
}

// bases returns what a host's record resolves to, as far as the caller may know.
func (c *call) bases(h *state.Host) []api.Base {
	bases := []api.Base{}
	for _, b := range c.s.State.Bases(h.ID) {
		product := policy.ProductOf(b.Statement)
		if c.sees(h, product) {
			bases = append(bases, api.Base{Product: product, Repository: b.Artifact.Repository, Manifest: b.Artifact.Manifest, File: b.Artifact.File})
		}
	}
	return bases
}

func (c *call) showHost() (answer, error) {
	h, err := c.aboutHost(c.hostID())
	if err != nil {
		return nil, err
	}
	v := api.Host{
		SchemaVersion: api.SchemaVersion, Host: h.ID, Name: h.Name, State: h.State, Cloned: h.Cloned,
		Key: h.Key.Base64(), Products: []string{}, Bases: c.bases(h),
	}
	for _, product := range h.Products {
		if c.sees(h, product) {
			v.Products = append(v.Products, product)
		}
	}
	if r := h.Record; r != nil {
		v.Record = &api.Record{Sequence: r.Sequence, BootID: r.BootID, Time: r.Time, Received: h.Received, Running: []attest.Running{}}
		for _, running := range r.Running {
			if c.who.ID == h.ID || c.sees(h, running.Product) { // to the host, its own words
				v.Record.Running = append(v.Record.Running, running)
			}
		}
	}
	return answered(v, nil)
}

// setState suspends, revokes or activates a host. It takes effect with its
// record: the host's next request is answered accordingly.
func (c *call) setState() (answer, error) {
	var q api.SetState
	if err := c.read(&q); err != nil {
		return nil, err
	}
	lock := c.s.hostLock(c.hostID())
	lock.Lock()
	defer lock.Unlock()
	h, err := c.aboutHost(c.hostID())
	if err != nil {
		return nil, err
	}
	for _, product := range h.Products { // the state is one in all of them
		if err := c.inProduct(product); err != nil {
			return nil, err
		}
	}
	if !slices.Contains([]string{api.HostActive, api.HostSuspended, api.HostRevoked}, q.State) {
		return nil, invalid(strictjson.Errorf("/state", "%.40q is not active, suspended or revoked", q.State))
	}
	if h.State == state.Revoked && q.State != state.Revoked {
		return nil, conflict("host %s is revoked for good", h.ID).Hint("enrol it again, with a new key: patchfit admin token")
	}
	r, err := c.append(ledger.KindHost, ledger.HostEnrolled{
		Host: h.ID, Name: h.Name, Key: h.Key.Base64(), Products: h.Products, State: q.State, By: c.who.ID,
	})
	return answered(api.Done{SchemaVersion: api.SchemaVersion, Sequence: r.Sequence}, err)
}

// queriedHost returns the host a query is about, cleared.
func (c *call) queriedHost(id string) (*state.Host, error) {
	if _, err := uuid.Parse(id); err != nil {
		return nil, invalid(fmt.Errorf("query: host %.80q is not a host id", id))
	}
	return c.aboutHost(id)
}
