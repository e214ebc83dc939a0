package doctor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/doctor"
	"github.com/patchfit/patchfit/registry/spelling"
)

var (
	secret  = []byte("a manifest that nobody may have")
	subject = spelling.Subject{
		Repository: "lib/greet", Elsewhere: "lib/greet",
		Manifest: string(attest.DigestOf(secret)), File: string(attest.DigestOf([]byte("a file"))),
	}
)

// sound answers nothing to anybody but a host's login.
func sound(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.RequestURI == "/readyz":
		fmt.Fprintln(w, "ready")
	case !strings.HasPrefix(r.RequestURI, "/v2") && r.Header.Get("Authorization") == "": // no trust policy, no repository
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("Authorization") == "":
		h.Set("Www-Authenticate", `Bearer realm="here"`)
		w.WriteHeader(http.StatusUnauthorized)
	case r.RequestURI == "/v2/" && r.Method == http.MethodGet:
		fmt.Fprint(w, "{}")
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

// examine has a doctor examine h, with a host, and returns what failed and was
// skipped.
func examine(t *testing.T, h http.HandlerFunc, o *doctor.Options) (failed, skipped []string) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	still := func() *http.Client {
		return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	nobody, somebody := still(), still()
	somebody.Transport = asHost{}
	if o == nil {
		o = &doctor.Options{Subject: &subject, Host: somebody}
	}
	d, err := doctor.New(srv.URL, nobody, o)
	if err != nil {
		t.Fatal(err)
	}
	found, err := d.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Fact == "" || (f.Outcome == doctor.Fail) && f.Next == "" {
			t.Errorf("no fact or no next step: %+v", f)
		}
		switch f.Outcome {
		case doctor.Fail:
			failed = append(failed, f.What)
		case doctor.Skip:
			skipped = append(skipped, f.What)
		}
	}
	return failed, skipped
}

type asHost struct{}

func (asHost) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer host")
	return http.DefaultTransport.RoundTrip(r)
}

func TestSound(t *testing.T) {
	failed, skipped := examine(t, sound, nil)
	if len(failed) != 0 {
		t.Errorf("a sound server fails %q", failed)
	}
	if strings.Join(skipped, ", ") != "TLS version, TLS certificate, trust policy, trust repository" {
		t.Errorf("skipped: %q", skipped)
	}
	if _, skipped := examine(t, sound, &doctor.Options{}); len(skipped) != 6 {
		t.Errorf("with nothing to ask for, skipped: %q", skipped)
	}
}

// TestBroken: each way to be broken is one probe, by name.
func TestBroken(t *testing.T) {
	m := "/v2/lib/greet/manifests/" + subject.Manifest
	b := "/v2/lib/greet/blobs/" + subject.File
	answer := func(uri, header string, f func(w http.ResponseWriter)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			got, value, _ := strings.Cut(header, ": ")
			if r.RequestURI == uri && r.Method == http.MethodGet && (header == "" || r.Header.Get(got) == value) {
				w.Header().Set("Cache-Control", "private, no-store")
				w.Header().Set("X-Content-Type-Options", "nosniff")
				f(w)
				return
			}
			sound(w, r)
		}
	}
	serves := func(w http.ResponseWriter) { w.Write(secret) }
	status := func(n int) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(n) }
	}
	with := func(n int, name, value string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.Header().Set(name, value); w.WriteHeader(n) }
	}
	for name, c := range map[string]struct {
		server http.HandlerFunc
		want   string
	}{
		"bytes for %2F":         {answer("/v2/lib/greet%2Fmanifests%2F"+subject.Manifest, "", serves), "nobody: slashes of manifests as %2F, host: slashes of manifests as %2F"},
		"bytes for //":          {answer("http://HOST/"+m, "", serves), "nobody: slash twice in front, host: slash twice in front"},
		"a redirect of ..":      {answer("/v2/x/../lib/greet/manifests/"+subject.Manifest, "", with(301, "Location", m)), "nobody: dots, host: dots"},
		"304 before deciding":   {answer(m, `If-None-Match: "`+subject.Manifest+`"`, status(304)), "nobody: manifest, If-None-Match, host: manifest, If-None-Match"},
		"a range for a host":    {answer(b, "Authorization: Bearer host", status(206)), "host: blob, host: blob, range, host: blob, two ranges, host: blob, last bytes, host: blob, range past the end, host: blob, If-None-Match, host: blob, If-Range, host: blob, If-Range of another"},
		"the bytes in a 404":    {answer("/v2/lib/greet/blobs/"+subject.Manifest, "Range: bytes=0-1", func(w http.ResponseWriter) { w.WriteHeader(404); w.Write(secret) }), "nobody: manifest under blobs, range, host: manifest under blobs, range"},
		"a digest in a refusal": {answer("/v2/lib/greet/manifests/"+subject.File, "If-None-Match: \""+subject.File+`"`, with(403, "Docker-Content-Digest", subject.File)), "nobody: blob under manifests, If-None-Match, host: blob under manifests, If-None-Match"},
		"a catalog for all":     {answer("/v2/_catalog", "", status(200)), "nobody: list of repositories"},
		"an error":              {answer(m+";x=y", "", status(500)), "nobody: parameters of a segment, host: parameters of a segment"},
		"not ready":             {answer("/readyz", "", status(503)), "ready"},
		"another clock":         {answer("/readyz", "", with(200, "Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))), "clock"},
		"no clock":              {answer("/readyz", "", with(200, "Date", "noon")), "clock"},
		"anybody may log in":    {answer("/v2/", "", status(200)), "nobody is asked who they are, nobody: the registry"},
		"may be kept":           {answer(b, "", with(403, "Cache-Control", "public")), "header Cache-Control"},
		"may be sniffed":        {answer(b, "", with(403, "X-Content-Type-Options", "")), "header X-Content-Type-Options"},
	} {
		t.Run(name, func(t *testing.T) {
			server := func(w http.ResponseWriter, r *http.Request) {
				r.RequestURI = strings.Replace(r.RequestURI, "http://"+r.Host+"/", "http://HOST/", 1)
				c.server(w, r)
			}
			if failed, _ := examine(t, server, nil); strings.Join(failed, ", ") != c.want {
				t.Errorf("failed:\n%q\nwant:\n%s", failed, c.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(sound))
	defer srv.Close()
	end := srv.Certificate().NotAfter
	for name, c := range map[string]struct {
		now  time.Time
		want string
	}{
		"valid":      {end.AddDate(0, 0, -15), "clock: FAIL, TLS version: ok, TLS certificate: ok"},
		"ends soon":  {end.AddDate(0, 0, -13), "clock: FAIL, TLS version: ok, TLS certificate: FAIL"},
		"ended":      {end.AddDate(0, 0, 1), "clock: FAIL, TLS version: ok, TLS certificate: FAIL"},
		"in its day": {time.Now(), "clock: ok, TLS version: ok, TLS certificate: ok"},
	} {
		d, err := doctor.New(srv.URL, srv.Client(), &doctor.Options{Now: func() time.Time { return c.now }})
		if err != nil {
			t.Fatal(err)
		}
		found, err := d.Examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			if f.What == "clock" || strings.HasPrefix(f.What, "TLS") {
				got = append(got, f.What+": "+f.Outcome)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %s", name, got, c.want)
		}
	}
}

func TestNoServer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(sound))
	srv.Close()
	d, err := doctor.New(srv.URL, http.DefaultClient, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := d.Examine(t.Context()); err != nil || len(found) != 1 || found[0].Outcome != doctor.Fail || found[0].What != "ready" {
		t.Errorf("%+v, %v", found, err)
	}
	for _, bad := range []string{"", "registry.example", "ftp://registry.example", "https://registry.example/path", "https://%"} {
		if _, err := doctor.New(bad, http.DefaultClient, nil); err == nil {
			t.Errorf("%q is taken for a server", bad)
		}
	}
}
