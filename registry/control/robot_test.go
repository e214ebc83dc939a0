package control

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

func (s *scene) wanted(change func(*api.NewRobot)) api.NewRobot {
	q := api.NewRobot{Name: "ci", Products: []string{s.Product.ID}, Role: state.RolePublisher, TTL: 3600}
	if change != nil {
		change(&q)
	}
	return q
}

func (s *scene) robot(t *testing.T, change func(*api.NewRobot)) (*api.RobotMade, *api.Client) {
	t.Helper()
	made, err := s.admin.NewRobot(ctx(), s.wanted(change))
	if err != nil {
		t.Fatal(err)
	}
	return made, s.client(&api.Options{Token: made.Token})
}

// TestRobotLives: from its making to its end, and what the journal has of it.
func TestRobotLives(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		made, c := s.robot(t, nil)
		if made.Username != "robot$ci" || !strings.HasPrefix(made.Token, "pfr_") || !made.Expires.Equal(time.Now().Add(time.Hour).Truncate(time.Second)) {
			t.Errorf("made %+v", made)
		}
		for _, r := range s.Journal.Records() {
			if strings.Contains(string(r.Body), made.Token[len("pfr_"):]) {
				t.Errorf("the token is in the journal: %s", r.Body)
			}
		}
		if _, err := c.Revocations(ctx(), s.Product.ID); err != nil {
			t.Errorf("what its role may: %v", err)
		}
		_, err := c.Principals(ctx())
		wantError(t, "what admins may", err, 403, api.CodeForbidden)
		time.Sleep(time.Until(made.Expires) - time.Second)
		if _, err := c.Revocations(ctx(), s.Product.ID); err != nil {
			t.Errorf("in its last second: %v", err)
		}
		time.Sleep(time.Second)
		_, err = c.Revocations(ctx(), s.Product.ID)
		wantError(t, "at its end", err, 401, api.CodeUnauthorized)
		list, err := s.admin.Principals(ctx())
		if err != nil || stateOf(list, made.Principal) != "expired" {
			t.Errorf("listed as %+v, error %v", list, err)
		}
	})
}

func stateOf(l *api.Principals, id string) string {
	for _, p := range l.Principals {
		if p.Principal == id {
			return p.State
		}
	}
	return "absent"
}

func TestRobotRevoked(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		made, c := s.robot(t, func(q *api.NewRobot) { q.Role, q.Products = state.RoleAuditor, []string{"*"} })
		if status := s.do(c, "GET", "/v1/audit/records", ""); status != 200 {
			t.Fatalf("an auditor of everything: %d", status)
		}
		done, err := s.admin.EndPrincipal(ctx(), made.Principal)
		if err != nil || done.Sequence != s.State.Last() {
			t.Fatalf("revoked: %+v, error %v", done, err)
		}
		if status := s.do(c, "GET", "/v1/audit/records", ""); status != 401 {
			t.Errorf("a revoked robot: %d", status)
		}
		again, err := s.admin.EndPrincipal(ctx(), made.Principal)
		if err != nil || again.Sequence != done.Sequence || s.State.Last() != done.Sequence {
			t.Errorf("revoked again: %+v, error %v", again, err)
		}
		err = s.admin.Grant(ctx(), api.Grant{Principal: made.Principal, Product: s.Product.ID, Role: state.RoleAuditor})
		wantError(t, "a grant to the revoked", err, 409, api.CodeConflict)

		person, key := s.Principal("person", state.RoleAuditor)
		if _, err := s.admin.EndPrincipal(ctx(), person); err != nil {
			t.Errorf("a person with a key: %v", err)
		}
		_, err = s.as(person, key).Revocations(ctx(), s.Product.ID)
		wantError(t, "a revoked person", err, 401, api.CodeUnauthorized)
		for _, p := range s.State.Principals() {
			if p.Name == "boss" {
				_, err = s.admin.EndPrincipal(ctx(), p.ID)
				wantError(t, "oneself", err, 409, api.CodeConflict)
			}
		}
		host, _ := s.Enrol("a")
		for _, id := range []string{host, uuid.NewString()} {
			_, err = s.admin.EndPrincipal(ctx(), id)
			wantError(t, "who is no principal", err, 404, api.CodeNotFound)
		}
	})
}

func TestRobotRefused(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		before := len(s.Journal.Records())
		for name, change := range map[string]func(*api.NewRobot){
			"no name":              func(q *api.NewRobot) { q.Name = "" },
			"a name with a colon":  func(q *api.NewRobot) { q.Name = "ci:x" },
			"a name too long":      func(q *api.NewRobot) { q.Name = strings.Repeat("x", 65) },
			"two lines":            func(q *api.NewRobot) { q.Name = "a\nb" },
			"role admin":           func(q *api.NewRobot) { q.Role = state.RoleAdmin },
			"role host":            func(q *api.NewRobot) { q.Role = state.RoleHost },
			"no role":              func(q *api.NewRobot) { q.Role = "" },
			"publisher everywhere": func(q *api.NewRobot) { q.Products = []string{"*"} },
			"no product":           func(q *api.NewRobot) { q.Products = []string{} },
			"a product twice":      func(q *api.NewRobot) { q.Products = []string{s.Product.ID, s.Product.ID} },
			"no end":               func(q *api.NewRobot) { q.TTL = 0 },
			"too late an end":      func(q *api.NewRobot) { q.TTL = 365*24*3600 + 1 },
			"a negative end":       func(q *api.NewRobot) { q.TTL = -1 },
		} {
			_, err := s.admin.NewRobot(ctx(), s.wanted(change))
			wantError(t, name, err, 400, api.CodeInvalid)
		}
		_, err := s.admin.NewRobot(ctx(), s.wanted(func(q *api.NewRobot) { q.Products = []string{uuid.NewString()} }))
		wantError(t, "an unknown product", err, 404, api.CodeNotFound)
		if n := len(s.Journal.Records()); n != before {
			t.Errorf("refused robots wrote %d records", n-before)
		}
	})
}

// TestAdminOfOneProduct: they make, see and revoke robots of that product, and
// learn nothing of others.
func TestAdminOfOneProduct(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		here, _ := s.robot(t, nil)
		foreign := s.otherProduct()
		mine, ok := s.State.Product("other/product")
		if !ok {
			t.Fatal("no other product")
		}
		both, _ := s.robot(t, func(q *api.NewRobot) { q.Name, q.Products = "both", []string{s.Product.ID, mine} })
		theirs, fail := foreign.NewRobot(ctx(), s.wanted(func(q *api.NewRobot) { q.Name, q.Products = "theirs", []string{mine} }))
		if fail != nil {
			t.Fatal(fail)
		}
		_, fail = foreign.NewRobot(ctx(), s.wanted(nil))
		wantError(t, "a robot in a product that is not theirs", fail, 404, api.CodeNotFound)
		list, fail := foreign.Principals(ctx())
		if fail != nil {
			t.Fatal(fail)
		}
		got := map[string][]api.Role{}
		for _, p := range list.Principals {
			if p.Name != "elsewhere" { // the one who asks
				got[p.Principal] = p.Roles
			}
		}
		want := map[string][]api.Role{
			both.Principal:   {{Product: mine, Role: state.RolePublisher}},
			theirs.Principal: {{Product: mine, Role: state.RolePublisher}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("an admin of one product sees (-want +got):\n%s", diff)
		}
		_, fail = foreign.EndPrincipal(ctx(), here.Principal)
		wantError(t, "revoking in another product", fail, 404, api.CodeNotFound)
		_, fail = foreign.EndPrincipal(ctx(), both.Principal)
		wantError(t, "revoking who has roles elsewhere", fail, 403, api.CodeForbidden)
		if _, fail = foreign.EndPrincipal(ctx(), theirs.Principal); fail != nil {
			t.Errorf("revoking their own: %v", fail)
		}
	})
}

// TestReadOnlyRobot: whatever its role, it changes nothing.
func TestReadOnlyRobot(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		_, c := s.robot(t, func(q *api.NewRobot) { q.ReadOnly = true })
		if _, err := c.Revocations(ctx(), s.Product.ID); err != nil {
			t.Errorf("asking: %v", err)
		}
		_, err := c.Revoke(ctx(), s.Revoke(s.Product.ID, "subject", w.PatchManifest))
		wantError(t, "changing", err, http.StatusForbidden, api.CodeDenied)
	})
}
