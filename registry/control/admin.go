package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

const maxTokenTTL = 24 * time.Hour

func (c *call) showTrustPolicy() (answer, error) {
	envelope, err := c.askedTrustPolicy()
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", api.MediaEnvelope)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(envelope) // the client is gone: there is nobody to tell
	}, nil
}

// askedTrustPolicy returns the envelope in effect or, to who missed changes of
// roots and names the version they have, the next of them.
func (c *call) askedTrustPolicy() ([]byte, error) {
	_, envelope := c.s.State.TrustPolicy()
	if envelope == nil {
		return nil, noTrustPolicy(http.StatusNotFound, api.CodeNotFound)
	}
	if c.r.URL.RawQuery == "" {
		return envelope, nil
	}
	q, err := c.query("after")
	if err != nil {
		return nil, err
	}
	after, err := strconv.ParseInt(q["after"], 10, 54)
	if err != nil || after < 0 {
		return nil, invalid(fmt.Errorf("query: after is %.40q, want a version of the trust policy, or 0", q["after"]))
	}
	switch envelope, err = c.s.State.TrustPolicyAfter(after); {
	case err != nil:
		c.s.logger.Error("reading a trust policy of the past", "after", after, "err", err)
		return nil, api.Errorf(http.StatusInternalServerError, api.CodeInternal, "a trust policy of the past cannot be read").Hint("the server's log says why")
	case envelope == nil:
		return nil, notFound("no trust policy is above version %d", after)
	}
	return envelope, nil
}

func noTrustPolicy(status int, code string) *api.Error {
	return api.Errorf(status, code, "this server has no trust policy yet").Hint("push one: patchfit trust push")
}

// takeTrustPolicy takes the first trust policy an admin sends, and after it
// only those that the roots of the one before signed too.
func (c *call) takeTrustPolicy() (answer, error) {
	envelope, err := c.raw(api.MaxEnvelope)
	if err != nil {
		return nil, err
	}
	if err := c.onServer(); err != nil {
		return nil, err
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	current, have := c.s.State.TrustPolicy()
	if string(have) == string(envelope) {
		return accepted(current, envelope)
	}
	if r, _ := c.s.State.TUF(); r != nil && current.TUF != (attest.TUFRoot{}) {
		return nil, conflict("this server hands trust out by its TUF repository, which would be left behind").
			Hint("put the policy in it: patchfit trust tuf targets --policy, sign, push")
	}
	next, err := nextTrustPolicy(current, envelope)
	if err != nil {
		return nil, err
	}
	if err := c.journalTrustPolicy(next, envelope); err != nil {
		return nil, err
	}
	return accepted(next, envelope)
}

// nextTrustPolicy returns the policy that may follow current now.
func nextTrustPolicy(current *attest.TrustPolicy, envelope []byte) (*attest.TrustPolicy, error) {
	next, err := state.NextTrustPolicy(current, envelope)
	if err != nil {
		return nil, invalid(err).Hint("a new trust policy has a higher version and is signed by the roots of the one before it")
	}
	if now := time.Now(); !now.Before(next.Expires) {
		return nil, invalid(fmt.Errorf("trust policy expired at %s", next.Expires.Format(time.RFC3339))).Hint("sign one that is still good")
	}
	if _, err := verify.New(next); err != nil {
		return nil, invalid(err)
	}
	return next, nil
}

func (c *call) journalTrustPolicy(p *attest.TrustPolicy, envelope []byte) error {
	d, err := c.put(envelope)
	if err != nil {
		return err
	}
	_, err = c.append(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: p.Version, Envelope: d, By: c.who.ID})
	return err
}

func accepted(p *attest.TrustPolicy, envelope []byte) (answer, error) {
	roots, err := p.Roots.Digest()
	return answered(api.TrustPolicyAccepted{SchemaVersion: api.SchemaVersion, Version: p.Version, Envelope: attest.DigestOf(envelope), Roots: roots}, err)
}

// addProduct starts to serve a product of the trust policy. Adding it again
// changes nothing.
func (c *call) addProduct() (answer, error) {
	var q api.AddProduct
	if err := c.read(&q); err != nil {
		return nil, err
	}
	if err := c.onServer(); err != nil {
		return nil, err
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	p, ok := c.s.State.Trust().Product(q.Product)
	if !ok {
		return nil, notFound("the trust policy names no product %.100q", q.Product).Hint("add it there first: patchfit trust edit, sign, push")
	}
	if served, ok := c.s.State.Repository(q.Product); !ok || served != p.Repository {
		if c.s.State.Added(p.ID, p.Repository) {
			return nil, conflict("product %s or repository %s was added before, with another partner", p.ID, p.Repository)
		}
		if _, err := c.append(ledger.KindProduct, ledger.ProductAdded{Product: p.ID, Repository: p.Repository, By: c.who.ID}); err != nil {
			return nil, err
		}
	}
	return answered(api.ProductAdded{SchemaVersion: api.SchemaVersion, Product: p.ID, Repository: p.Repository}, nil)
}

func (c *call) addPrincipal() (answer, error) {
	var q api.AddPrincipal
	if err := c.read(&q); err != nil {
		return nil, err
	}
	if err := c.onServer(); err != nil {
		return nil, err
	}
	if err := checkLabel("/name", q.Name); err != nil {
		return nil, err
	}
	key, err := attest.ParseLoginKey(q.Key)
	if err != nil {
		return nil, invalid(strictjson.Errorf("/key", "%v", err))
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	if err := c.freeKey(key); err != nil {
		return nil, err
	}
	id := uuid.NewString()
	_, err = c.append(ledger.KindPrincipal, ledger.PrincipalAdded{Principal: id, Name: q.Name, Key: key.Base64(), By: c.who.ID})
	return answered(api.PrincipalAdded{SchemaVersion: api.SchemaVersion, Principal: id}, err)
}

// freeKey refuses a key that is somebody's: a key is one identity. And a key
// that signs statements proves nobody's identity here.
func (c *call) freeKey(key *attest.PublicKey) error {
	if _, taken := c.s.State.KeyOwner(key.ID()); taken {
		return conflict("key %s belongs to someone already", key.ID().Short()).Hint("make a new key: patchfit keygen")
	}
	if c.s.State.KnownSigner(key.ID()) {
		return conflict("key %s signs statements; who one is is proven with another key", key.ID().Short()).Hint("make a new key: patchfit keygen")
	}
	return nil
}

func (c *call) grant() (answer, error) {
	var q api.Grant
	if err := c.read(&q); err != nil {
		return nil, err
	}
	if err := c.inProduct(q.Product); err != nil {
		return nil, err
	}
	if !state.Grantable(q.Role) {
		return nil, invalid(strictjson.Errorf("/role", "%.40q is not publisher, rebuilder, auditor or admin", q.Role))
	}
	if q.Product == state.AllProducts && !state.GrantedEverywhere(q.Role) {
		return nil, invalid(strictjson.Errorf("/product", "role %s is granted product by product", q.Role))
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	if err := c.grantable(q); err != nil {
		return nil, err
	}
	r, err := c.append(ledger.KindGrant, ledger.Granted{Principal: q.Principal, Product: q.Product, Role: q.Role, Revoked: q.Revoke, By: c.who.ID})
	return answered(api.Done{SchemaVersion: api.SchemaVersion, Sequence: r.Sequence}, err)
}

func (c *call) grantable(q api.Grant) error {
	if q.Product != state.AllProducts {
		if _, ok := c.s.State.Repository(q.Product); !ok {
			return notFound("no product %.100q", q.Product)
		}
	}
	p, ok := c.s.State.Principal(q.Principal)
	if !ok || p.Kind == state.KindHost {
		return notFound("no principal %.100q that roles are granted to", q.Principal).Hint("add one: patchfit admin principal")
	}
	if p.State == state.Revoked && !q.Revoke {
		return conflict("principal %s was revoked, for good", p.ID).Hint("add another: patchfit admin principal, patchfit robot create")
	}
	return nil
}

func (c *call) makeToken() (answer, error) {
	var q api.NewToken
	if err := c.read(&q); err != nil {
		return nil, err
	}
	if err := c.tokenProducts(q.Products); err != nil {
		return nil, err
	}
	ttl := time.Duration(q.TTL) * time.Second
	if q.TTL < 1 || q.TTL > int64(maxTokenTTL/time.Second) {
		return nil, invalid(strictjson.Errorf("/ttl", "%d seconds, want 1 to %d", q.TTL, int64(maxTokenTTL/time.Second)))
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	policy, _ := c.s.State.TrustPolicy()
	if policy == nil {
		return nil, noTrustPolicy(http.StatusConflict, api.CodeConflict)
	}
	roots, err := policy.Roots.Digest()
	if err != nil {
		return nil, err
	}
	t := api.NewEnrolmentToken(c.s.URL, c.s.TLSKey, roots)
	made := ledger.TokenMade{Token: t.ID, MAC: c.s.mac(t.Secret), Products: q.Products, Expires: time.Now().Add(ttl).UTC().Truncate(time.Second), By: c.who.ID}
	_, err = c.append(ledger.KindToken, made)
	return answered(api.TokenMade{SchemaVersion: api.SchemaVersion, Token: t.String(), ID: t.ID, Expires: made.Expires}, err)
}

// tokenProducts clears the call for every product a host is to be in.
func (c *call) tokenProducts(products []string) error {
	if len(products) == 0 || len(products) > 64 {
		return invalid(strictjson.Errorf("/products", "%d products, want 1 to 64", len(products)))
	}
	for i, id := range products {
		if slices.Contains(products[:i], id) {
			return invalid(strictjson.Errorf(fmt.Sprintf("/products/%d", i), "named twice"))
		}
		if err := c.inProduct(id); err != nil {
			return err
		}
		if _, ok := c.s.State.Repository(id); !ok {
			return notFound("no product %.100q", id).Hint("add it: patchfit admin product")
		}
	}
	return nil
}
