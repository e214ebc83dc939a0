package registry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/doctor"
)

// TestDoctorFindsNothing examines this registry from outside, with a patch that
// is there, as nobody and as a host it does not fit; and finds a host that it
// does fit.
func TestDoctorFindsNothing(t *testing.T) {
	m := newMatrix(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := m.State.Principal(r.Header.Get(whoHeader))
		switch {
		case r.URL.Path == "/readyz":
			return
		case ok:
			r = r.WithContext(auth.With(r.Context(), p))
		default: // what stands before the registry in a server
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		m.oci.ServeHTTP(w, r)
	}))
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
					if f.Outcome != doctor.Fail {
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

// sender sends requests as a principal.
type sender string

func (s sender) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if s != "" {
		r.Header.Set(whoHeader, string(s))
	}
	return http.DefaultTransport.RoundTrip(r)
}
