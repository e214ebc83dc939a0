package control

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// said returns the whole answer to a request, without these words.
func (s *scene) said(c *api.Client, r row, without ...string) string {
	s.t.Helper()
	req, err := http.NewRequest(r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := c.HTTP().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	text := resp.Status + " " + string(body)
	for _, word := range without {
		text = strings.ReplaceAll(text, word, "")
	}
	return text
}

// enrolIn enrols a host in products.
func (s *scene) enrolIn(products ...string) (string, statetest.Key) {
	s.t.Helper()
	id, key, token := uuid.NewString(), statetest.NewKey(s.t), uuid.NewString()
	s.Must(ledger.KindToken, ledger.TokenMade{Token: token, MAC: "01", Products: products, Expires: time.Now().Add(time.Hour).UTC(), By: s.Admin})
	s.Must(ledger.KindHost, ledger.HostEnrolled{Host: id, Name: "in " + token, Key: key.Public.Base64(), Products: products, Token: token, State: state.Active})
	return id, key
}

// TestEmbargoHidesProduct: no route tells a host that is not named of a product
// that is embargoed: each answers it as a host that never was in the product.
func TestEmbargoHidesProduct(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		s.otherProduct()
		other, _ := s.State.Product("other/product")
		host, key := s.enrolIn(s.Product.ID, other)
		s.Record(host, key, 7, w)
		named, namedKey := s.Enrol("named")
		s.Record(named, namedKey, 7, w)
		stranger, strangerKey := s.enrolIn(other)
		s.Record(stranger, strangerKey, 7, w)
		until := time.Now().Add(time.Hour)
		if err := s.admin.Embargo(ctx(), api.NewEmbargo{Product: s.Product.ID, Until: until, Hosts: []string{named}}); err != nil {
			t.Fatal(err)
		}
		kept, outside := s.as(host, key), s.as(stranger, strangerKey)
		asked := 0
		for _, r := range s.rows(host, w.PatchManifest) {
			if strings.HasPrefix(r.path, "/v1/trust-policy") || strings.HasSuffix(r.path, "/challenge") {
				continue
			}
			asked++
			of := r
			of.path = strings.ReplaceAll(r.path, host, stranger)
			words := func(id string) []string {
				h, _ := s.State.Host(id)
				return []string{id, h.Name, h.Key.Base64(), h.Record.BootID}
			}
			if d := cmp.Diff(s.said(outside, of, words(stranger)...), s.said(kept, r, words(host)...)); d != "" {
				t.Errorf("%s %s (-a host that never was there +one that is kept out):\n%s", r.method, r.path, d)
			}
		}
		if asked < 20 {
			t.Errorf("only %d routes were asked", asked)
		}
		for id, c := range map[string]*api.Client{named: s.as(named, namedKey), host: kept} {
			if id == host {
				time.Sleep(time.Until(until)) // it ends by itself
			}
			if why, err := c.Why(ctx(), id, s.Product.Repository, string(w.PatchManifest)); err != nil || why.Product != s.Product.ID {
				t.Errorf("%s: %v", id, err)
			}
			if v, err := c.Host(ctx(), id); err != nil || len(v.Bases) != 1 {
				t.Errorf("%s: %+v, %v", id, v, err)
			}
		}
	})
}

// TestAuditTellsNoProduct: whoever audits elsewhere is told no more about a
// repository that is there than about one that is not.
func TestAuditTellsNoProduct(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		c := s.otherProduct()
		for _, path := range []string{"/v1/audit/who-built?repository=", "/v1/evidence?digest=" + string(attest.DigestOf(nil)) + "&repository="} {
			there := s.said(c, row{method: "GET", path: path + s.Product.Repository}, s.Product.Repository)
			if none := s.said(c, row{method: "GET", path: path + "none"}, "none"); there != none || !strings.HasPrefix(there, "404 ") {
				t.Errorf("%s\n%s", there, none)
			}
		}
	})
}

// TestEmbargoOfPatch: hosts that are not named are told that a patch is not
// handed out yet, and nothing that was said about it.
func TestEmbargoOfPatch(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.World("one")
		if err := s.admin.Embargo(ctx(), api.NewEmbargo{Product: s.Product.ID, Patch: w.PatchManifest}); err != nil {
			t.Fatalf("before it is there: %v", err)
		}
		s.Publish("one")
		id, key := s.Enrol("a")
		s.Record(id, key, 7, w)
		host := s.as(id, key)
		offered := func() int {
			v, err := host.Offers(ctx(), id)
			if err != nil {
				t.Fatal(err)
			}
			return len(v.Offers)
		}
		_, err := host.Evidence(ctx(), s.Product.Repository, w.PatchManifest)
		wantError(t, "evidence", err, 403, "EMBARGOED")
		why, err := host.Why(ctx(), id, s.Product.Repository, string(w.PatchManifest))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range why.Checks {
			if len(c.Findings) > 0 != (c.Rule == "not-embargoed") {
				t.Errorf("%+v", c)
			}
		}
		if n := offered(); n != 0 {
			t.Errorf("%d offers", n)
		}
		pub, pubKey := s.Principal("pub", state.RolePublisher)
		if v, err := s.as(pub, pubKey).Evidence(ctx(), s.Product.Repository, w.PatchManifest); err != nil || len(v.Bundles) == 0 {
			t.Errorf("for a publisher: %v", err)
		}
		if err := s.admin.Embargo(ctx(), api.NewEmbargo{Product: s.Product.ID, Patch: w.PatchManifest, Lift: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := host.Evidence(ctx(), s.Product.Repository, w.PatchManifest); err != nil || offered() != 1 {
			t.Errorf("when it is lifted: %v", err)
		}
	})
}

func TestEmbargoes(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		id, _ := s.Enrol("a")
		second, _ := s.Enrol("b")
		s.otherProduct()
		other, _ := s.State.Product("other/product")
		stranger, _ := s.enrolIn(other)
		p, patch := s.Product.ID, attest.DigestOf([]byte("a patch"))
		for name, tt := range map[string]struct {
			embargo api.NewEmbargo
			status  int
			code    string
		}{
			"over already":         {api.NewEmbargo{Product: p, Until: time.Now()}, 400, api.CodeInvalid},
			"a host of another":    {api.NewEmbargo{Product: p, Hosts: []string{stranger}}, 404, api.CodeNotFound},
			"no host":              {api.NewEmbargo{Product: p, Hosts: []string{"x"}}, 404, api.CodeNotFound},
			"too many hosts":       {api.NewEmbargo{Product: p, Hosts: make([]string, maxCohort+1)}, 400, api.CodeInvalid},
			"no product":           {api.NewEmbargo{Product: uuid.NewString()}, 404, api.CodeNotFound},
			"nothing to lift":      {api.NewEmbargo{Product: p, Lift: true}, 409, api.CodeConflict},
			"lifted, with hosts":   {api.NewEmbargo{Product: p, Hosts: []string{id}, Lift: true}, 400, api.CodeInvalid},
			"lifted, with an end":  {api.NewEmbargo{Product: p, Until: time.Now().Add(1), Lift: true}, 400, api.CodeInvalid},
			"a patch by no digest": {api.NewEmbargo{Product: p, Patch: "x"}, 400, api.CodeInvalid},
		} {
			wantError(t, name, s.admin.Embargo(ctx(), tt.embargo), tt.status, tt.code)
		}
		until := time.Now().Add(time.Minute).UTC()
		for _, e := range []api.NewEmbargo{
			{Product: p},
			{Product: p, Hosts: []string{second, id, second}}, // in the place of the one before
			{Product: p, Patch: patch, Until: until},
		} {
			if err := s.admin.Embargo(ctx(), e); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		v, err := s.admin.Embargoes(ctx(), p)
		if err != nil || len(v.Embargoes) != 2 {
			t.Fatalf("%+v, %v", v, err)
		}
		if e := v.Embargoes[0]; e.Patch != "" || e.Over || len(e.Hosts) != 2 || e.By == "" {
			t.Errorf("%+v", e)
		}
		if e := v.Embargoes[1]; e.Patch != patch || !e.Over || !e.Until.Equal(until) {
			t.Errorf("%+v", e)
		}
	})
}
