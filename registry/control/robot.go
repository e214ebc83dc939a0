package control

import (
	"crypto/rand"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/state"
)

// robotName is what can stand in front of the colon of basic authorization,
// and in a shell, without quotes.
var robotName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// robotRoles are what a secret that is typed into other machines may be good
// for. Who administers a server proves it with a key, or is made on it.
func robotRoles() []string {
	return []string{state.RolePublisher, state.RoleRebuilder, state.RoleAuditor}
}

// makeRobot makes someone who proves themselves with a bearer token, until its
// end. The principal is journaled before its roles, and its secret is told
// after them: what a crash leaves behind is a robot nobody has the token of.
func (c *call) makeRobot() (answer, error) {
	var q api.NewRobot
	if err := c.read(&q); err != nil {
		return nil, err
	}
	if err := c.robotProducts(q); err != nil {
		return nil, err
	}
	if err := checkRobot(q); err != nil {
		return nil, err
	}
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	v := api.RobotMade{
		SchemaVersion: api.SchemaVersion, Principal: uuid.NewString(), Username: auth.RobotName + q.Name,
		Token:   auth.RobotPrefix + rand.Text() + rand.Text(),
		Expires: time.Now().Add(time.Duration(q.TTL) * time.Second).UTC().Truncate(time.Second),
	}
	_, err := c.append(ledger.KindPrincipal, ledger.PrincipalAdded{
		Principal: v.Principal, Name: q.Name, TokenMAC: auth.TokenMAC(c.s.Auth.Pepper, v.Token), By: c.who.ID,
		Expires: v.Expires, ReadOnly: q.ReadOnly,
	})
	for _, product := range q.Products {
		if err == nil {
			_, err = c.append(ledger.KindGrant, ledger.Granted{Principal: v.Principal, Product: product, Role: q.Role, By: c.who.ID})
		}
	}
	return answered(v, err)
}

// robotProducts clears the call for every product a robot is to have a role in.
func (c *call) robotProducts(q api.NewRobot) error {
	if slices.Equal(q.Products, []string{state.AllProducts}) {
		return c.inProduct(state.AllProducts)
	}
	return c.tokenProducts(q.Products)
}

func checkRobot(q api.NewRobot) error {
	switch most := int64(api.MaxRobotTTL / time.Second); {
	case !robotName.MatchString(q.Name):
		return invalid(strictjson.Errorf("/name", "not 1 to 64 of a-z, 0-9, dot, underscore and dash, a letter or digit first"))
	case !slices.Contains(robotRoles(), q.Role):
		return invalid(strictjson.Errorf("/role", "%.40q is not %s", q.Role, orList(robotRoles())))
	case slices.Contains(q.Products, state.AllProducts) && !state.GrantedEverywhere(q.Role):
		return invalid(strictjson.Errorf("/products", "role %s is granted product by product", q.Role))
	case q.TTL < 1 || q.TTL > most:
		return invalid(strictjson.Errorf("/ttl", "%d seconds, want 1 to %d", q.TTL, most))
	}
	return nil
}

// principals lists everyone who is no host: to an admin of the server all of
// them, to others those with a role in a product of theirs, and those roles.
func (c *call) principals() (answer, error) {
	if _, err := c.query(); err != nil {
		return nil, err
	}
	if err := c.anywhere(); err != nil {
		return nil, err
	}
	all := c.onServer() == nil
	v := api.Principals{SchemaVersion: api.SchemaVersion, Principals: []api.Principal{}}
	now := time.Now()
	for _, p := range c.s.State.Principals() {
		roles := c.rolesSeen(p.ID, all)
		if all || len(roles) > 0 {
			v.Principals = append(v.Principals, shown(p, roles, now))
		}
	}
	return answered(v, nil)
}

func (c *call) rolesSeen(id string, all bool) []api.Role {
	roles := []api.Role{}
	for _, g := range c.s.State.Granted(id) {
		if all || slices.ContainsFunc(c.s.State.Roles(c.who.ID, g.Product), c.rule.has) {
			roles = append(roles, api.Role(g))
		}
	}
	return roles
}

func shown(p state.Principal, roles []api.Role, now time.Time) api.Principal {
	v := api.Principal{
		Principal: p.ID, Name: p.Name, Proof: p.Kind, State: p.State, ReadOnly: p.ReadOnly,
		Added: p.Added, By: p.By, Expires: p.Expires, Roles: roles,
	}
	if p.State == state.Active && p.Expired(now) {
		v.State = "expired"
	}
	return v
}

// endPrincipal revokes someone who is no host, for good. Nobody revokes
// themselves, so that an admin is left. Again: changes nothing.
func (c *call) endPrincipal() (answer, error) {
	if err := c.read(&struct{}{}); err != nil {
		return nil, err
	}
	id := mux.Vars(c.r)["id"]
	c.s.admin.Lock()
	defer c.s.admin.Unlock()
	if err := c.overPrincipal(id); err != nil {
		return nil, err
	}
	if id == c.who.ID {
		return nil, conflict("principal %s is you", id).Hint("have another admin do it")
	}
	if p, _ := c.s.State.Principal(id); p.State == state.Revoked {
		return answered(api.Done{SchemaVersion: api.SchemaVersion, Sequence: p.Ended}, nil)
	}
	r, err := c.append(ledger.KindEnded, ledger.PrincipalEnded{Principal: id, By: c.who.ID})
	return answered(api.Done{SchemaVersion: api.SchemaVersion, Sequence: r.Sequence}, err)
}

// overPrincipal clears the call for a principal who is no host: the caller has
// one of the row's roles on the server, or in every product where the
// principal has a role. To whoever has it in none of them there is no such one.
func (c *call) overPrincipal(id string) error {
	unknown := notFound("no principal %.100q", id)
	if p, ok := c.s.State.Principal(id); !ok || p.Kind == state.KindHost {
		return unknown
	}
	if c.onServer() == nil {
		return nil
	}
	granted, over := c.s.State.Granted(id), 0
	for _, g := range granted {
		if slices.ContainsFunc(c.s.State.Roles(c.who.ID, g.Product), c.rule.has) {
			over++
		}
	}
	switch {
	case over == 0:
		return unknown
	case over < len(granted):
		return forbidden("principal %s has roles in products that are not yours", id).
			Hint("take the role in yours, with patchfit admin grant --revoke, or ask an admin of the whole server")
	}
	c.cleared = true
	return nil
}
