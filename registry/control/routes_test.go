package control

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// TestEveryRouteHasARow: and every row a route.
func TestEveryRouteHasARow(t *testing.T) {
	s := &server{}
	named := map[string]bool{}
	for _, r := range append(s.routes(), s.audit()) {
		named[r.name()] = true
		rule, ok := rules[r.name()]
		if !ok {
			t.Errorf("%s has no row in the role table", r.name())
		}
		if rule.public != (len(rule.roles) == 0) {
			t.Errorf("%s: public %v, roles %v", r.name(), rule.public, rule.roles)
		}
	}
	for name := range rules {
		if !named[name] {
			t.Errorf("the role table has a row for %s, which is no route", name)
		}
	}
}

// TestRouteWithoutARow: it answers nobody, and neither does one that does not
// ask who may.
func TestRouteWithoutARow(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		who, _ := s.State.Principal(s.Admin)
		srv := &server{Config: Config{State: s.State, Journal: s.Journal, Auth: &auth.Authority{}}, logger: slog.New(slog.DiscardHandler)}
		ask := func(r route) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			req := httptest.NewRequest("GET", base+"/v1/x", nil)
			srv.guard(r).ServeHTTP(w, req.WithContext(auth.With(req.Context(), who)))
			return w
		}
		says := func(c *call) (answer, error) { return answered(api.Done{}, nil) }
		if w := ask(route{"GET", "/v1/unknown", says}); w.Code != 403 {
			t.Errorf("a route without a row: %d %s", w.Code, w.Body)
		}
		if w := ask(route{"GET", "/v1/why", says}); w.Code != 500 || strings.Contains(w.Body.String(), "sequence") {
			t.Errorf("a route that did not ask who may: %d %s", w.Code, w.Body)
		}
		before := len(s.Journal.Records())
		writes := func(c *call) (answer, error) {
			_, err := c.append(ledger.KindGrant, ledger.Granted{Principal: s.Admin, Product: "*", Role: "admin", By: s.Admin})
			return answered(api.Done{}, err)
		}
		if w := ask(route{"POST", "/v1/grants", writes}); w.Code != 500 || len(s.Journal.Records()) != before {
			t.Errorf("a write before anyone asked who may: %d, %d records", w.Code, len(s.Journal.Records())-before)
		}
	})
}

// A row is a request and who may make it. Requests that would change
// something are not good ones: 400 and 422 are answers to someone who may ask.
type row struct {
	method, path, body string
	allowed            string // everybody else is refused
}

func (s *scene) rows(host string, patch attest.Digest) []row {
	q := func(kv ...string) string {
		v := url.Values{}
		for i := 0; i < len(kv); i += 2 {
			v.Set(kv[i], kv[i+1])
		}
		return "?" + v.Encode()
	}
	self := "/v1/hosts/" + host
	s.decided(host, patch, true)
	return []row{
		{"GET", "/v1/trust-policy", "", "nobody boss admin publisher rebuilder auditor no-role self other-host suspended elsewhere all-auditor"},
		{"POST", "/v1/trust-policy", "{}", "boss"},
		{"POST", "/v1/products", `{"product":"` + s.Product.ID + `"}`, "boss"},
		{"POST", "/v1/principals", `{"key":"","name":"x"}`, "boss"},
		{"GET", "/v1/principals", "", "boss admin elsewhere"}, // there: the principals of that product
		{"POST", "/v1/principals/" + s.gone() + "/revoke", "{}", "boss admin"},
		{"POST", "/v1/robots", `{"name":"x","products":["` + s.Product.ID + `"],"readOnly":false,"role":"x","ttl":0}`, "boss admin"},
		{"POST", "/v1/robots", `{"name":"x","products":["*"],"readOnly":false,"role":"x","ttl":0}`, "boss"},
		{"POST", "/v1/grants", `{"principal":"` + uuid.NewString() + `","product":"` + s.Product.ID + `","revoke":false,"role":"x"}`, "boss admin"},
		{"POST", "/v1/grants", `{"principal":"` + uuid.NewString() + `","product":"*","revoke":false,"role":"x"}`, "boss"},
		{"POST", "/v1/embargoes", `{"product":"` + s.Product.ID + `","hosts":["x"],"lift":true}`, "boss admin"},
		{"POST", "/v1/embargoes", `{"product":"*","hosts":["x"],"lift":true}`, "boss"},
		{"GET", "/v1/embargoes" + q("product", s.Product.ID), "", "boss admin publisher rebuilder auditor all-auditor"},
		{"POST", "/v1/enrolment-tokens", `{"products":["` + s.Product.ID + `"],"ttl":0}`, "boss admin"},
		{"POST", self + "/challenge", "{}", "self"},
		{"POST", self + "/records", "{}", "self"},
		{"GET", self, "", "self boss admin auditor all-auditor"},
		{"POST", self + "/state", `{"state":"x"}`, "boss admin"},
		{"GET", "/v1/evidence" + q("repository", s.Product.Repository, "digest", string(patch)), "", "boss admin publisher rebuilder auditor self other-host all-auditor"},
		{"GET", "/v1/rebuilds" + q("product", s.Product.ID, "which", "all"), "", "boss admin publisher rebuilder auditor all-auditor"},
		{"GET", "/v1/offers" + q("host", host), "", "self boss admin auditor all-auditor"},
		{"POST", "/v1/revocations", "{}", "boss admin publisher elsewhere"}, // a publisher there: told what is wrong with it
		{"GET", "/v1/revocations" + q("product", s.Product.ID), "", "boss admin publisher rebuilder auditor self other-host all-auditor"},
		{"GET", "/v1/why" + q("host", host, "repository", s.Product.Repository, "reference", string(patch)), "", "self boss admin auditor all-auditor"},
		{"GET", "/v1/decisions/" + someDecision + "/receipt", "", "self auditor all-auditor"},
		{"GET", "/v1/receipts/key", "", "nobody boss admin publisher rebuilder auditor no-role self other-host suspended elsewhere all-auditor"},
		{"GET", "/v1/audit/decisions" + q("product", s.Product.ID), "", "auditor all-auditor"},
		{"GET", "/v1/audit/who-built" + q("repository", s.Product.Repository), "", "auditor all-auditor"},
		{"GET", "/v1/audit/records", "", "auditor elsewhere all-auditor"}, // the reader limits what they see
	}
}

// gone returns someone with a role in the product who was revoked.
func (s *scene) gone() string {
	s.t.Helper()
	id, _ := s.Principal("gone", state.RoleAuditor)
	s.Must(ledger.KindEnded, ledger.PrincipalEnded{Principal: id, By: s.Admin})
	return id
}

// everybody returns a client of each kind of principal there is, by name.
func (s *scene) everybody(host string, hostKey statetest.Key) map[string]*api.Client {
	keyed := func(name string, roles ...string) *api.Client {
		id, key := s.Principal(name, roles...)
		return s.as(id, key)
	}
	other, otherKey := s.Enrol("b")
	suspended, suspendedKey := s.Enrol("s")
	gone := s.as(suspended, suspendedKey)
	if _, err := gone.Token(ctx()); err != nil {
		s.t.Fatal(err)
	}
	s.SetState(suspended, state.Suspended)
	return map[string]*api.Client{
		"nobody": s.client(&api.Options{}), "boss": s.admin,
		"admin":       keyed("admin", state.RoleAdmin), // of the product
		"publisher":   keyed("publisher", state.RolePublisher),
		"rebuilder":   keyed("rebuilder", state.RoleRebuilder),
		"auditor":     keyed("auditor", state.RoleAuditor),
		"no-role":     keyed("no role"),
		"all-auditor": s.everywhere(state.RoleAuditor),
		"self":        s.as(host, hostKey),
		"other-host":  s.as(other, otherKey),
		"suspended":   gone,
		"elsewhere":   s.otherProduct(),
	}
}

// TestRoutesByPrincipals: every route, asked by everybody. What is in the table
// is allowed; all else is refused, and nothing is changed.
func TestRoutesByPrincipals(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		host, hostKey := s.Enrol("a")
		s.Record(host, hostKey, 7, w)
		people := s.everybody(host, hostKey)
		for _, tt := range s.rows(host, w.PatchManifest) {
			allowed := strings.Fields(tt.allowed)
			for who, c := range people {
				before := len(s.Journal.Records())
				status := s.do(c, tt.method, tt.path, tt.body)
				want := slices.Contains(allowed, who)
				if refused := status == 401 || status == 403 || status == 404; want == refused {
					t.Errorf("%s %s by %s: %d, want allowed %v", tt.method, tt.path, who, status, want)
				}
				if who == "nobody" && !want && status != 401 {
					t.Errorf("%s %s by nobody: %d, want 401", tt.method, tt.path, status)
				}
				if after := len(s.Journal.Records()); after != before {
					t.Errorf("%s %s by %s wrote %d records", tt.method, tt.path, who, after-before)
				}
			}
		}
	})
}

// otherProduct adds a product in which someone has every role.
func (s *scene) otherProduct() *api.Client {
	s.t.Helper()
	p := s.Authority.Product("other/product")
	s.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: s.Put(s.Policy(2, s.Product, p)), By: s.Admin})
	s.Must(ledger.KindProduct, ledger.ProductAdded{Product: p.ID, Repository: p.Repository, By: s.Admin})
	id, key := s.Principal("elsewhere")
	for _, role := range []string{state.RolePublisher, state.RoleAuditor, state.RoleAdmin} {
		s.Must(ledger.KindGrant, ledger.Granted{Principal: id, Product: p.ID, Role: role, By: s.Admin})
	}
	return s.as(id, key)
}

// everywhere adds someone with a role in all products.
func (s *scene) everywhere(role string) *api.Client {
	s.t.Helper()
	id, key := s.Principal(role + " everywhere")
	s.Must(ledger.KindGrant, ledger.Granted{Principal: id, Product: state.AllProducts, Role: role, By: s.Admin})
	return s.as(id, key)
}

func (s *scene) do(c *api.Client, method, path, body string) int {
	s.t.Helper()
	req, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := c.HTTP().Do(req)
	if err != nil {
		var e *api.Error
		if errors.As(err, &e) { // no access token: the answer of /token
			return e.Status
		}
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestBadRequests: what is not a request of this API is refused by its spot.
func TestBadRequests(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		long := `{"product":"` + strings.Repeat("x", api.MaxRequest) + `"}`
		for _, tt := range []struct {
			method, path, body string
			status             int
			want               string
		}{
			{"POST", "/v1/products", `{"product":"x","more":1}`, 400, "/more: unknown member"},
			{"POST", "/v1/products", `{}`, 400, "/product: missing"},
			{"POST", "/v1/products", `{"product":"x","product":"y"}`, 400, "duplicate"},
			{"POST", "/v1/products", `{"Product":"x"}`, 400, "/Product"},
			{"POST", "/v1/products", `{"product":"x"} {}`, 400, "trailing"},
			{"POST", "/v1/products", `{"product":null}`, 400, "null"},
			{"POST", "/v1/products", ``, 400, "empty document"},
			{"POST", "/v1/products", long, 413, "exceeds"},
			{"POST", "/v1/trust-policy", strings.Repeat("x", api.MaxEnvelope+1), 413, "exceeds"},
			{"GET", "/v1/why?host=x", "", 400, "repository has to be given"},
			{"GET", "/v1/offers?host=x&host=y", "", 400, "once"},
			{"GET", "/v1/offers?host=" + uuid.NewString() + "&more=1", "", 400, "unknown"},
			{"GET", "/v1/offers?host=x", "", 400, "not a host id"},
			{"GET", "/v1/evidence?repository=x&digest=sha512:0", "", 400, "sha256"},
			{"GET", "/v1/nothing", "", 404, "no such route"},
			{"GET", "/v1/hosts/x", "", 404, "no such route"},
			{"DELETE", "/v1/products", "", 405, "other methods"},
		} {
			req, err := http.NewRequest(tt.method, base+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.admin.HTTP().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !bytes.Contains(body, []byte(tt.want)) || !bytes.Contains(body, []byte(`"schemaVersion":1`)) {
				t.Errorf("%s %.60s %.60s: %d %s, want %d %q", tt.method, tt.path, tt.body, resp.StatusCode, body, tt.status, tt.want)
			}
		}
	})
}

// TestKnownSeesWhoeverAsks: every route but the public ones goes by it, with
// the caller known; what it refuses is not looked at.
func TestKnownSeesWhoeverAsks(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		var seen []string
		token := auth.TokenPrefix + "another"
		s.Must(ledger.KindPrincipal, ledger.PrincipalAdded{Principal: "p-1", Name: "p", TokenMAC: auth.TokenMAC(pepper, token), By: "p-1"})
		a, err := auth.New(auth.Config{URL: base, Signer: statetest.NewKey(t).Signer, Pepper: pepper, Directory: s.State}, nil)
		if err != nil {
			t.Fatal(err)
		}
		known := func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				p, _ := auth.From(r.Context())
				seen = append(seen, p.ID)
				w.WriteHeader(http.StatusTeapot)
			})
		}
		h := New(Config{URL: base, Pepper: pepper, State: s.State, Store: s.Blobs, Journal: s.Journal, Auth: a, Audit: http.NotFoundHandler(), Known: known}, nil)
		for name, rule := range rules {
			method, path, _ := strings.Cut(name, " ")
			path = strings.ReplaceAll(path, "{id:[0-9a-f-]{36}}", "0d9ff2a4-6f9c-4f0b-8d3b-1f6f6f0a0001")
			path = strings.ReplaceAll(path, "{id:d-[0-9A-HJKMNP-TV-Z]{26}}", "d-01JAZZZZZZZZZZZZZZZZZZZZZZ")
			r := httptest.NewRequest(method, path, strings.NewReader("{}"))
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			seen = nil
			h.ServeHTTP(w, r)
			if passed := len(seen) == 1 && seen[0] == "p-1" && w.Code == http.StatusTeapot; passed == rule.public {
				t.Errorf("%s: status %d, seen %q", name, w.Code, seen)
			}
		}
	})
}
