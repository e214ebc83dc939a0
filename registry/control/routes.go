package control

import (
	"net/http"
	"slices"

	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// A route is one method of one path.
type route struct {
	method, path string
	answer       func(*call) (answer, error)
}

func (r route) name() string { return r.method + " " + r.path }

// A rule is a row of the role table: who may use a route, in the product, on
// the host or on the server that the call is about.
type rule struct {
	public bool
	roles  []string
	limit  int64 // bytes of a body; 0: api.MaxEnvelope
}

func (r rule) has(role string) bool { return slices.Contains(r.roles, role) }

func only(roles ...string) rule { return rule{roles: roles} }

const (
	hostPath      = "/v1/hosts/{id:[0-9a-f-]{36}}"
	principalPath = "/v1/principals/{id:[0-9a-f-]{36}}"
	auditPath     = "/v1/audit/"
)

// rules is the role table. It is never changed; a route without a row answers
// nobody.
var rules = map[string]rule{
	"GET /v1/trust-policy":              {public: true}, // who trusts it pins its roots
	"POST /v1/trust-policy":             only(state.RoleAdmin),
	"POST /v1/tuf":                      {roles: []string{state.RoleAdmin}, limit: api.MaxTUF},
	"POST /v1/products":                 only(state.RoleAdmin),
	"POST /v1/principals":               only(state.RoleAdmin),
	"GET /v1/principals":                only(state.RoleAdmin),
	"POST " + principalPath + "/revoke": only(state.RoleAdmin),
	"POST /v1/robots":                   only(state.RoleAdmin),
	"POST /v1/grants":                   only(state.RoleAdmin),
	"POST /v1/embargoes":                only(state.RoleAdmin),
	"GET /v1/embargoes":                 only(state.RolePublisher, state.RoleRebuilder, state.RoleAdmin, state.RoleAuditor),
	"POST /v1/enrolment-tokens":         only(state.RoleAdmin),
	"POST /v1/enrol":                    {public: true}, // the token says who may
	"POST " + hostPath + "/challenge":   only(state.RoleHost),
	"POST " + hostPath + "/records":     only(state.RoleHost),
	"GET " + hostPath:                   only(state.RoleHost, state.RoleAdmin, state.RoleAuditor),
	"POST " + hostPath + "/state":       only(state.RoleAdmin),
	"GET /v1/evidence":                  only(state.RoleHost, state.RolePublisher, state.RoleRebuilder, state.RoleAdmin, state.RoleAuditor),
	"GET /v1/rebuilds":                  only(state.RolePublisher, state.RoleRebuilder, state.RoleAdmin, state.RoleAuditor),
	"GET /v1/offers":                    only(state.RoleHost, state.RoleAdmin, state.RoleAuditor),
	"POST /v1/revocations":              only(state.RolePublisher, state.RoleAdmin),
	"GET /v1/revocations":               only(state.RoleHost, state.RolePublisher, state.RoleRebuilder, state.RoleAdmin, state.RoleAuditor),
	"POST /v1/channels":                 only(state.RolePublisher, state.RoleAdmin),
	"GET /v1/channels":                  only(state.RoleHost, state.RolePublisher, state.RoleRebuilder, state.RoleAdmin, state.RoleAuditor),
	"GET /v1/channel":                   only(state.RoleHost, state.RolePublisher, state.RoleRebuilder, state.RoleAdmin, state.RoleAuditor),
	"GET /v1/why":                       only(state.RoleHost, state.RoleAdmin, state.RoleAuditor),
	"GET " + decisionPath:               only(state.RoleHost, state.RoleAuditor),
	"GET " + keyPath:                    {public: true},
	"GET " + auditPath:                  only(state.RoleAuditor),
}

func (s *server) routes() []route {
	return []route{
		{"GET", "/v1/trust-policy", (*call).showTrustPolicy},
		{"POST", "/v1/trust-policy", (*call).takeTrustPolicy},
		{"POST", "/v1/tuf", (*call).takeTUF},
		{"POST", "/v1/products", (*call).addProduct},
		{"POST", "/v1/principals", (*call).addPrincipal},
		{"GET", "/v1/principals", (*call).principals},
		{"POST", principalPath + "/revoke", (*call).endPrincipal},
		{"POST", "/v1/robots", (*call).makeRobot},
		{"POST", "/v1/grants", (*call).grant},
		{"POST", "/v1/embargoes", (*call).embargo},
		{"GET", "/v1/embargoes", (*call).embargoes},
		{"POST", "/v1/enrolment-tokens", (*call).makeToken},
		{"POST", "/v1/enrol", (*call).enrol},
		{"POST", hostPath + "/challenge", (*call).challenge},
		{"POST", hostPath + "/records", (*call).record},
		{"GET", hostPath, (*call).showHost},
		{"POST", hostPath + "/state", (*call).setState},
		{"GET", "/v1/evidence", (*call).evidence},
		{"GET", "/v1/offers", (*call).offers},
		{"GET", "/v1/rebuilds", (*call).rebuilds},
		{"POST", "/v1/revocations", (*call).revoke},
		{"GET", "/v1/revocations", (*call).revocations},
		{"POST", "/v1/channels", (*call).takeChannel},
		{"GET", "/v1/channels", (*call).channels},
		{"GET", "/v1/channel", (*call).channel},
		{"GET", "/v1/why", (*call).why},
		{"GET", decisionPath, (*call).receipt},
		{"GET", keyPath, (*call).receiptKey},
	}
}

func (s *server) audit() route { return route{"GET", auditPath, (*call).auditProducts} }

// auditProducts clears an audit query: for the products it names, or, where it
// names none, for whoever audits any. The reader keeps to the caller's products.
func (c *call) auditProducts() (answer, error) {
	products, err := c.askedProducts()
	if err != nil {
		return nil, err
	}
	for _, product := range products {
		if err := c.inProduct(product); err != nil {
			return nil, err
		}
	}
	if len(products) == 0 {
		if err := c.anywhere(); err != nil {
			return nil, err
		}
	}
	return func(w http.ResponseWriter) { c.s.Audit.ServeHTTP(w, c.r) }, nil
}

// askedProducts returns the products an audit query names.
func (c *call) askedProducts() ([]string, error) {
	q := c.r.URL.Query()
	if len(q["product"]) > 1 || len(q["repository"]) > 1 {
		return nil, api.Errorf(http.StatusBadRequest, api.CodeInvalid, "query: product and repository are given at most once")
	}
	var asked []string
	if q.Has("product") {
		asked = append(asked, q.Get("product"))
	}
	if q.Has("repository") {
		id, ok := c.s.State.Product(q.Get("repository"))
		if !ok || len(c.s.State.Roles(c.who.ID, id)) == 0 { // the id would tell that it is there
			return nil, notFound("no repository %.100q", q.Get("repository"))
		}
		asked = append(asked, id)
	}
	return asked, nil
}
