package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// TrustPolicy returns the envelope of the server's trust policy, for anybody
// to verify with the roots they pin.
func (c *Client) TrustPolicy(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, request{method: http.MethodGet, path: "/v1/trust-policy"})
}

// TrustPolicyAfter returns the envelope of the first trust policy above a
// version whose roots are others than those of the policy before it, and of the
// newest where there is none.
func (c *Client) TrustPolicyAfter(ctx context.Context, version int64) ([]byte, error) {
	return c.bytes(ctx, request{method: http.MethodGet, path: "/v1/trust-policy", query: url.Values{"after": {strconv.FormatInt(version, 10)}}})
}

// PushTrustPolicy has the server take a signed trust policy.
func (c *Client) PushTrustPolicy(ctx context.Context, envelope []byte) (*TrustPolicyAccepted, error) {
	v := &TrustPolicyAccepted{}
	return answer(v, c.send(ctx, "/v1/trust-policy", MediaEnvelope, envelope, v))
}

// PushTUF has the server take a TUF repository.
func (c *Client) PushTUF(ctx context.Context, o TUFOffer) (*TUFAccepted, error) {
	v := &TUFAccepted{}
	return answer(v, c.post(ctx, "/v1/tuf", o, v))
}

// AddProduct has the server serve a product of its trust policy.
func (c *Client) AddProduct(ctx context.Context, product string) (*ProductAdded, error) {
	v := &ProductAdded{}
	return answer(v, c.post(ctx, "/v1/products", AddProduct{product}, v))
}

// AddPrincipal makes someone known who proves themselves with key.
func (c *Client) AddPrincipal(ctx context.Context, name string, key *attest.PublicKey) (*PrincipalAdded, error) {
	v := &PrincipalAdded{}
	return answer(v, c.post(ctx, "/v1/principals", AddPrincipal{Name: name, Key: key.Base64()}, v))
}

// Grant gives a principal a role in a product, or takes it.
func (c *Client) Grant(ctx context.Context, g Grant) error {
	return c.post(ctx, "/v1/grants", g, &Done{})
}

// NewEnrolmentToken makes a token with which one host can enrol, once.
func (c *Client) NewEnrolmentToken(ctx context.Context, products []string, ttl time.Duration) (*TokenMade, error) {
	v := &TokenMade{}
	return answer(v, c.post(ctx, "/v1/enrolment-tokens", NewToken{Products: products, TTL: int64(ttl / time.Second)}, v))
}

// Enrol makes a host known. It needs no access token.
func (c *Client) Enrol(ctx context.Context, e Enrol) (*Enrolled, error) {
	v := &Enrolled{}
	return answer(v, c.post(ctx, "/v1/enrol", e, v))
}

// Challenge asks for what a host's next record has to contain.
func (c *Client) Challenge(ctx context.Context, host string) (*Challenge, error) {
	v := &Challenge{}
	return answer(v, c.post(ctx, "/v1/hosts/"+url.PathEscape(host)+"/challenge", struct{}{}, v))
}

// Record sends a host's record, the envelope of a host-record/v1.
func (c *Client) Record(ctx context.Context, host string, envelope []byte) (*Recorded, error) {
	v := &Recorded{}
	return answer(v, c.send(ctx, "/v1/hosts/"+url.PathEscape(host)+"/records", MediaEnvelope, envelope, v))
}

// Host returns what the server knows of a host.
func (c *Client) Host(ctx context.Context, host string) (*Host, error) {
	v := &Host{}
	return answer(v, c.Get(ctx, "/v1/hosts/"+url.PathEscape(host), nil, v))
}

// SetHostState suspends, revokes or activates a host.
func (c *Client) SetHostState(ctx context.Context, host, state string) error {
	return c.post(ctx, "/v1/hosts/"+url.PathEscape(host)+"/state", SetState{state}, &Done{})
}

// Evidence returns the admitted bundles about an artifact and what it stands on.
func (c *Client) Evidence(ctx context.Context, repository string, d attest.Digest) (*Evidence, error) {
	v := &Evidence{}
	return answer(v, c.Get(ctx, "/v1/evidence", url.Values{"repository": {repository}, "digest": {string(d)}}, v))
}

// Offers returns the patches a host may have now.
func (c *Client) Offers(ctx context.Context, host string) (*Offers, error) {
	v := &Offers{}
	return answer(v, c.Get(ctx, "/v1/offers", url.Values{"host": {host}}, v))
}

// Revoke has the server take a revocation, the bundle of a revocation/v1.
func (c *Client) Revoke(ctx context.Context, bundle []byte) (*Revoked, error) {
	v := &Revoked{}
	return answer(v, c.send(ctx, "/v1/revocations", MediaBundle, bundle, v))
}

// Revocations returns every revocation of a product, in the order they took
// effect.
func (c *Client) Revocations(ctx context.Context, product string) (*Revocations, error) {
	v := &Revocations{}
	return answer(v, c.Get(ctx, "/v1/revocations", url.Values{"product": {product}}, v))
}

// Why explains what the gate would answer host for a reference, a tag or a
// digest, and records nothing.
func (c *Client) Why(ctx context.Context, host, repository, reference string) (*Why, error) {
	v := &Why{}
	return answer(v, c.Get(ctx, "/v1/why", url.Values{"host": {host}, "repository": {repository}, "reference": {reference}}, v))
}

// Receipt returns the signed receipt of a decision, the envelope of a
// verification summary.
func (c *Client) Receipt(ctx context.Context, decision string) ([]byte, error) {
	return c.bytes(ctx, request{method: http.MethodGet, path: "/v1/decisions/" + url.PathEscape(decision) + "/receipt"})
}

// ReceiptKey returns the key that receipts are signed with, a PEM block.
func (c *Client) ReceiptKey(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, request{method: http.MethodGet, path: "/v1/receipts/key"})
}

// answer returns v only where there was no error.
func answer[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
