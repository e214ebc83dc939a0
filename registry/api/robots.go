package api

import (
	"context"
	"net/url"
	"time"
)

// MaxRobotTTL is the longest a robot's token is good for.
const MaxRobotTTL = 365 * 24 * time.Hour

// NewRobot is the body of POST /v1/robots.
type NewRobot struct {
	Name     string   `json:"name"`     // 1 to 64 of a-z, 0-9, ".", "_", "-"; begins with a letter or digit
	Products []string `json:"products"` // product ids, or "*" alone with role auditor
	Role     string   `json:"role"`     // publisher, rebuilder or auditor
	ReadOnly bool     `json:"readOnly"` // it may ask what its role may, and change nothing
	TTL      int64    `json:"ttl"`      // seconds, 1 to 31,536,000
}

// RobotMade answers POST /v1/robots. The token is shown this once.
type RobotMade struct {
	SchemaVersion int       `json:"schemaVersion"`
	Principal     string    `json:"principal"` // UUID
	Username      string    `json:"username"`  // for stock clients; the principal id does too
	Token         string    `json:"token"`     // their password, and a bearer token
	Expires       time.Time `json:"expires"`
}

// Principals answers GET /v1/principals: everyone who is no host, as far as the
// caller is an admin of what they may.
type Principals struct {
	SchemaVersion int         `json:"schemaVersion"`
	Principals    []Principal `json:"principals"` // by name, then id
}

// A Principal is someone who is no host. No secret is among what is told.
type Principal struct {
	Principal string    `json:"principal"`
	Name      string    `json:"name"`
	Proof     string    `json:"proof"` // what they prove themselves with: "key" or "token"
	State     string    `json:"state"` // "active", "expired" or "revoked"
	ReadOnly  bool      `json:"readOnly"`
	Added     time.Time `json:"added"`
	By        string    `json:"by"` // themselves: made on the server's own machine
	Expires   time.Time `json:"expires,omitzero"`
	Roles     []Role    `json:"roles"` // by product, then role
}

// A Role is a role in a product, or in all.
type Role struct {
	Product string `json:"product"`
	Role    string `json:"role"`
}

// NewRobot makes a robot, known by a bearer token with an end.
func (c *Client) NewRobot(ctx context.Context, r NewRobot) (*RobotMade, error) {
	v := &RobotMade{}
	return answer(v, c.post(ctx, "/v1/robots", r, v))
}

// Principals returns everyone who is no host.
func (c *Client) Principals(ctx context.Context) (*Principals, error) {
	v := &Principals{}
	return answer(v, c.Get(ctx, "/v1/principals", nil, v))
}

// EndPrincipal revokes someone who is no host, for good.
func (c *Client) EndPrincipal(ctx context.Context, id string) (*Done, error) {
	v := &Done{}
	return answer(v, c.post(ctx, "/v1/principals/"+url.PathEscape(id)+"/revoke", struct{}{}, v))
}
