package control

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const (
	base   = "https://patches.example:8443"
	tlsKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

var pepper = bytes.Repeat([]byte("p"), 32)

// A scene is a House behind the real handlers and the real authentication.
type scene struct {
	*statetest.House
	t     *testing.T
	mux   http.Handler
	admin *api.Client // with the first admin's token

	noTimestamps error // what it says of a root whose timestamps it cannot sign
}

func (s *scene) CanSign([]byte) error { return s.noTimestamps }

// stage runs do in a bubble whose clock begins at the time of the evidence.
func stage(t *testing.T, house func(testing.TB) *statetest.House, do func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(verifytest.Epoch))
		do(t, newScene(t, house(t)))
	})
}

func newScene(t *testing.T, h *statetest.House) *scene {
	t.Helper()
	s := &scene{House: h, t: t}
	token := auth.TokenPrefix + "first-admin"
	boss := uuid.NewString()
	h.Must(ledger.KindPrincipal, ledger.PrincipalAdded{Principal: boss, Name: "boss", TokenMAC: auth.TokenMAC(pepper, token), By: boss})
	h.Must(ledger.KindGrant, ledger.Granted{Principal: boss, Product: state.AllProducts, Role: state.RoleAdmin, By: boss})
	a, err := auth.New(auth.Config{URL: base, Signer: statetest.NewKey(t).Signer, Pepper: pepper, Directory: h.State}, nil)
	if err != nil {
		t.Fatal(err)
	}
	audit := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.WriteJSON(w, 200, api.Done{SchemaVersion: 1}) })
	c := Config{URL: base, TLSKey: tlsKey, Pepper: pepper, State: h.State, Store: h.Blobs, Journal: h.Journal, Timestamps: s, Auth: a, Audit: audit, Receipts: receiptsOf(t, h)}
	m := http.NewServeMux()
	m.Handle("/v1/", New(c, nil))
	m.Handle("/token", a.TokenHandler())
	s.mux = m
	s.admin = s.client(&api.Options{Token: token})
	return s
}

// RoundTrip answers a request in this process.
func (s *scene) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RemoteAddr, in.RequestURI = "192.0.2.1:1234", r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	s.mux.ServeHTTP(w, in)
	return w.Result(), nil
}

func (s *scene) client(o *api.Options) *api.Client {
	s.t.Helper()
	o.Transport = s
	c, err := api.New(base, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// as returns a client that proves itself with a key.
func (s *scene) as(id string, key statetest.Key) *api.Client {
	return s.client(&api.Options{Principal: id, Signer: key.Signer})
}

// wantError fails unless err is an api error of this status and code.
func wantError(t *testing.T, what string, err error, status int, code string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code {
		t.Errorf("%s: error %v, want %d %s", what, err, status, code)
	}
}

func ctx() context.Context { return context.Background() }

// TestFromNothing: an empty server, until a host sees why it may have a patch.
func TestFromNothing(t *testing.T) {
	stage(t, statetest.Empty, func(t *testing.T, s *scene) {
		_, err := s.admin.TrustPolicy(ctx())
		wantError(t, "trust policy of an empty server", err, 404, api.CodeNotFound)
		_, err = s.admin.NewEnrolmentToken(ctx(), []string{s.Product.ID}, time.Hour)
		wantError(t, "enrolment token without a product", err, 404, api.CodeNotFound)

		first := s.Policy(1, s.Product)
		for range 2 { // the same again is the one there is
			took, err := s.admin.PushTrustPolicy(ctx(), first)
			if err != nil || took.Version != 1 || took.Envelope != attest.DigestOf(first) || took.Roots == "" {
				t.Fatalf("first trust policy: %+v, error %v", took, err)
			}
		}
		if got, err := s.client(&api.Options{}).TrustPolicy(ctx()); err != nil || !bytes.Equal(got, first) {
			t.Fatalf("trust policy for nobody: %d bytes, error %v", len(got), err)
		}
		for range 2 {
			if p, err := s.admin.AddProduct(ctx(), s.Product.ID); err != nil || p.Repository != s.Product.Repository {
				t.Fatalf("product: %+v, error %v", p, err)
			}
		}
		_, err = s.admin.AddProduct(ctx(), uuid.NewString())
		wantError(t, "product the trust policy does not name", err, 404, api.CodeNotFound)

		w := s.Publish("one")
		s.Must(ledger.KindTag, ledger.TagMoved{Repository: s.Product.Repository, Tag: "v1", Digest: w.PatchManifest, By: s.Admin})
		id, key := s.enrol(t, "a")
		host := s.as(id, key)
		s.record(t, host, id, key, w)
		why, err := host.Why(ctx(), id, s.Product.Repository, "v1")
		if err != nil || !why.Allow || why.Digest != w.PatchManifest || why.Record != 1 || len(why.Checks) == 0 {
			t.Errorf("why: %+v, error %v", why, err)
		}
		for _, c := range why.Checks {
			if !c.Passed {
				t.Errorf("check %s did not pass: %+v", c.Rule, c.Findings)
			}
		}
		offers, err := host.Offers(ctx(), id)
		if err != nil || len(offers.Offers) != 1 || offers.Offers[0].Digest != w.PatchManifest || !slices.Equal(offers.Offers[0].Tags, []string{"v1"}) {
			t.Errorf("offers: %+v, error %v", offers, err)
		}
		if n := len(s.Journal.Records()); decisions(s) != 0 {
			t.Errorf("listing and explaining recorded decisions in %d records", n)
		}
	})
}

func decisions(s *scene) (n int) {
	for _, r := range s.Journal.Records() {
		if r.Kind == ledger.KindDecision {
			n++
		}
	}
	return n
}
