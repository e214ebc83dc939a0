package registry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/doctor"
)

// front is the registry with what stands before it in a server.
func (m *matrix) front() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := m.State.Principal(r.Header.Get(whoHeader))
		switch {
		case r.URL.Path == "/readyz":
			return
		case ok:
			r = r.WithContext(auth.With(r.Context(), p))
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		m.oci.ServeHTTP(w, r)
	})
}

// TestDoctorFindsNothing examines this registry from outside, with a patch that
// is there, as nobody and as a host it does not fit; and finds a host that it
// does fit.
func TestDoctorFindsNothing(t *testing.T) {
	m := newMatrix(t)
	srv := httptest.NewServer(m.front())
	defer srv.Close()
	for _, slow := range []bool{true, false} {
		m.oci.Slow(slow)
		for _, c := range []int{misfit, suspended, fitting} {
			for name, d := range map[string][2]attest.Digest{
				"patch":     {m.one.PatchManifest, m.one.PatchFile.Digest},
				"only that": {m.one.PatchManifest, ""},
				"base":      {m.one.BaseManifest, m.one.BaseFile.Digest},
			} {
				s := subject(repo, d[0], d[1])
				s.Elsewhere = repo
				o, err := doctor.New(srv.URL, &http.Client{Transport: sender("")}, &doctor.Options{Subject: &s, Host: &http.Client{Transport: sender(m.who[c])}})
				if err != nil {
					t.Fatal(err)
				}
				found, err := o.Examine(t.Context())
				if err != nil || len(found) < 100 {
					t.Fatalf("%d probes, %v", len(found), err)
				}
				failed := 0
				for _, f := range found {
					if f.Outcome != doctor.Fail || strings.HasPrefix(f.What, "trust ") { // those doors are not in this server
						continue
					}
					failed++
					if c != fitting || name == "base" {
						t.Errorf("%s: %s: %+v", columnNames[c], name, f)
					}
				}
				if c == fitting && name != "base" && failed < 5 {
					t.Errorf("%s: a host that it fits fails %d probes", name, failed)
				}
			}
		}
	}
}

// TestDoctorOfEmbargo: to a host that is kept out, an embargoed product is as
// none; where there is no embargo the doctor finds that it can be told.
func TestDoctorOfEmbargo(t *testing.T) {
	m := newMatrix(t)
	srv := httptest.NewServer(m.front())
	defer srv.Close()
	s := subject(repo, m.one.PatchManifest, m.one.PatchFile.Digest)
	examine := func() (ok, failed int) {
		o, err := doctor.New(srv.URL, &http.Client{Transport: sender("")}, &doctor.Options{Embargoed: &s, Host: &http.Client{Transport: sender(m.host)}})
		if err != nil {
			t.Fatal(err)
		}
		found, err := o.Examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			switch {
			case !strings.HasPrefix(f.What, "embargo: "):
			case f.Outcome == doctor.Fail:
				failed++
			case f.Outcome == doctor.OK:
				ok++
			}
		}
		return ok, failed
	}
	if _, failed := examine(); failed < 20 {
		t.Errorf("without an embargo only %d probes fail", failed)
	}
	m.embargo("", time.Time{})
	if ok, failed := examine(); failed != 0 || ok < 30 {
		t.Errorf("under one %d probes fail, %d pass", failed, ok)
	}
}

// sender sends requests as a principal.
type sender string

func (s sender) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if s != "" {
		r.Header.Set(whoHeader, string(s))
	}
	return http.DefaultTransport.RoundTrip(r)
}
