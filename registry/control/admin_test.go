package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

func TestTrustPolicyOrder(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		newRoot := statetest.NewKey(t)
		policy := func(version int64, root statetest.Key, expires time.Time) *attest.TrustPolicy {
			p := s.TrustPolicy(s.Product)
			p.Version, p.Expires, p.Roots = version, expires, attest.Roots{Threshold: 1, Keys: []string{root.Public.Base64()}}
			return p
		}
		year := verifytest.Epoch.AddDate(1, 0, 0)
		before := len(s.Journal.Records())
		for name, envelope := range map[string][]byte{
			"not an envelope":             []byte("{}"),
			"the same version":            s.SignPolicy(policy(1, s.Root, year.AddDate(0, 0, 1)), s.Root),
			"other roots":                 s.SignPolicy(policy(2, newRoot, year), newRoot),
			"new roots, by the old alone": s.SignPolicy(policy(2, newRoot, year), s.Root),
			"expired":                     s.SignPolicy(policy(2, s.Root, verifytest.Epoch.Add(-time.Hour)), s.Root),
		} {
			_, err := s.admin.PushTrustPolicy(ctx(), envelope)
			wantError(t, name, err, 400, api.CodeInvalid)
		}
		if n := len(s.Journal.Records()); n != before {
			t.Errorf("refused trust policies wrote %d records", n-before)
		}
		next := s.SignPolicy(policy(3, newRoot, year), s.Root, newRoot)
		if got, err := s.admin.PushTrustPolicy(ctx(), next); err != nil || got.Version != 3 {
			t.Errorf("new roots, by both: %+v, error %v", got, err)
		}
		_, err := s.admin.PushTrustPolicy(ctx(), s.SignPolicy(policy(4, s.Root, year), s.Root))
		wantError(t, "the roots before, again", err, 400, api.CodeInvalid)
	})
}

func TestGrants(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		key := statetest.NewKey(t)
		added, err := s.admin.AddPrincipal(ctx(), "ci", key.Public)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.admin.AddPrincipal(ctx(), "ci", key.Public)
		wantError(t, "the same key again", err, 409, api.CodeConflict)
		_, err = s.admin.AddPrincipal(ctx(), "signer", s.Signer(string(attest.RolePatch)).Key)
		wantError(t, "a key that signs statements", err, 409, api.CodeConflict)
		_, err = s.admin.AddPrincipal(ctx(), "rsa", verifytest.New(t).RSASigner("rsa", 2048).Key)
		wantError(t, "a key that makes no assertion", err, 400, api.CodeInvalid)
		_, err = s.admin.AddPrincipal(ctx(), "two\nlines", statetest.NewKey(t).Public)
		wantError(t, "a name of two lines", err, 400, api.CodeInvalid)

		c := s.as(added.Principal, key)
		_, err = c.Revocations(ctx(), s.Product.ID)
		wantError(t, "before the grant", err, 404, api.CodeNotFound)
		g := api.Grant{Principal: added.Principal, Product: s.Product.ID, Role: state.RolePublisher}
		if err := s.admin.Grant(ctx(), g); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Revocations(ctx(), s.Product.ID); err != nil {
			t.Errorf("after the grant: %v", err)
		}
		g.Revoke = true
		if err := s.admin.Grant(ctx(), g); err != nil {
			t.Fatal(err)
		}
		_, err = c.Revocations(ctx(), s.Product.ID)
		wantError(t, "after the grant was taken, with the token from before", err, 404, api.CodeNotFound)

		host, _ := s.Enrol("a")
		for name, g := range map[string]api.Grant{
			"role host":            {Principal: added.Principal, Product: s.Product.ID, Role: state.RoleHost},
			"publisher everywhere": {Principal: added.Principal, Product: "*", Role: state.RolePublisher},
		} {
			wantError(t, name, s.admin.Grant(ctx(), g), 400, api.CodeInvalid)
		}
		for name, g := range map[string]api.Grant{
			"to a host":  {Principal: host, Product: s.Product.ID, Role: state.RoleAuditor},
			"to nobody":  {Principal: uuid.NewString(), Product: s.Product.ID, Role: state.RoleAuditor},
			"in nothing": {Principal: added.Principal, Product: uuid.NewString(), Role: state.RoleAuditor},
		} {
			wantError(t, name, s.admin.Grant(ctx(), g), 404, api.CodeNotFound)
		}
	})
}

// A change is a request that would change something.
type change struct {
	name string
	do   func() error
}

// changes are good requests that store bytes, and those that only journal.
func (s *scene) changes(t *testing.T, id string, key statetest.Key, enrol api.Enrol) (storing, journaling []change) {
	w := s.Publish("one")
	repository := s.newTUF()
	host := s.as(id, key)
	ch, err := host.Challenge(ctx(), id)
	if err != nil {
		t.Fatal(err)
	}
	pub, pubKey := s.Principal("pub", state.RolePublisher)
	storing = []change{
		{"trust policy", func() error { _, err := s.admin.PushTrustPolicy(ctx(), s.Policy(2, s.Product)); return err }},
		{"TUF repository", func() error { _, err := s.admin.PushTUF(ctx(), wire(repository.Offer())); return err }},
		{"host record", func() error { _, err := host.Record(ctx(), id, s.RecordEnvelope(id, key, answerTo(w, ch))); return err }},
		{"revocation", func() error {
			_, err := s.as(pub, pubKey).Revoke(ctx(), s.Revoke(s.Product.ID, attest.RevokeSubject, w.PatchManifest))
			return err
		}},
	}
	return storing, []change{
		{"principal", func() error { _, err := s.admin.AddPrincipal(ctx(), "x", statetest.NewKey(t).Public); return err }},
		{"grant", func() error {
			return s.admin.Grant(ctx(), api.Grant{Principal: pub, Product: s.Product.ID, Role: state.RoleAuditor})
		}},
		{"token", func() error {
			_, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
			return err
		}},
		{"embargo", func() error {
			return s.admin.Embargo(ctx(), api.NewEmbargo{Product: s.Product.ID, Hosts: []string{id}})
		}},
		{"enrolment", func() error { _, err := s.client(&api.Options{}).Enrol(ctx(), enrol); return err }},
		{"robot", func() error { _, err := s.admin.NewRobot(ctx(), s.wanted(nil)); return err }},
		{"end of a principal", func() error { _, err := s.admin.EndPrincipal(ctx(), pub); return err }},
		{"host state", func() error { return s.admin.SetHostState(ctx(), id, api.HostSuspended) }},
	}
}

// TestNothingAcknowledgedUnrecorded: when journal or store fail, every request
// that would change something is answered 503, and nothing has changed.
func TestNothingAcknowledgedUnrecorded(t *testing.T) {
	down := errors.New("disk full at /var/lib/secret/path")
	for _, fault := range []string{"journal", "store"} {
		t.Run(fault, func(t *testing.T) {
			stage(t, statetest.New, func(t *testing.T, s *scene) {
				id, key := s.enrol(t, "a")
				made, err := s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				enrol := request(t, made.Token, "b", statetest.NewKey(t))
				requests, journaling := s.changes(t, id, key, enrol)
				before := len(s.Journal.Records())
				if s.Blobs.Err = down; fault == "journal" {
					s.Blobs.Err, s.Journal.Err = nil, down
					requests = append(requests, journaling...)
				}
				for _, r := range requests {
					err := r.do()
					wantError(t, r.name, err, 503, api.CodeUnavailable)
					if err != nil && strings.Contains(err.Error(), "secret") {
						t.Errorf("%s: the answer tells the server's inside: %v", r.name, err)
					}
				}
				if n := len(s.Journal.Records()); n != before {
					t.Errorf("%d records were written", n-before)
				}
				s.unchanged(t, id, mustParse(t, made.Token).ID)
				s.Journal.Err, s.Blobs.Err = nil, nil
				if _, err := s.client(&api.Options{}).Enrol(ctx(), enrol); err != nil {
					t.Errorf("the token was used up by a try that was not recorded: %v", err)
				}
			})
		})
	}
}

// unchanged fails where something is visible that changes would have changed.
func (s *scene) unchanged(t *testing.T, host, token string) {
	t.Helper()
	h, _ := s.State.Host(host)
	tok, _ := s.State.Token(token)
	p, _ := s.State.TrustPolicy()
	if r, _ := s.State.TUF(); r != nil {
		t.Error("a TUF repository is visible that was not recorded")
	}
	if h.State != state.Active || h.Record != nil || tok.Used || p.Version != 1 || len(s.State.Hosts(s.Product.ID)) != 1 || len(s.State.Revocations(s.Product.Repository)) != 0 {
		t.Error("something is visible that was not recorded")
	}
}

func mustParse(t *testing.T, text string) *api.EnrolmentToken {
	t.Helper()
	token, err := api.ParseEnrolmentToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
