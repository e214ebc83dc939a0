package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/patchfit/patchfit/internal/serverconfig"
)

// TestHeaders asks a whole server, and wants on each kind of answer what
// docs/spec/limits.md says.
func TestHeaders(t *testing.T) {
	addr := serving(t, serverconfig.Limits{})
	page := map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": pagePolicy, "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": permissions,
		"Strict-Transport-Security": "", "Content-Disposition": "",
	}
	artifact := map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox", "Content-Disposition": "attachment",
		"Cache-Control": "private, no-store",
	}
	for path, want := range map[string]map[string]string{
		"/readyz": page, "/token": page, "/v1/trust-policy": page, "/v1/audit/hosts": page, "/trusted_root.json": page, "/none": page, "/api/v2/checkpoint": page,
		"/v2/": artifact, "/v2/lib/greet/manifests/x": artifact, "/v2/lib/greet/blobs/sha256:0": artifact,
	} {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for name, value := range want {
			if got := resp.Header.Get(name); got != value {
				t.Errorf("%s: %s: %q, want %q", path, name, got, value)
			}
		}
	}
}

// TestHTTPSStaysHTTPS: only where clients come by https.
func TestHTTPSStaysHTTPS(t *testing.T) {
	for url, want := range map[string]string{"https://p.example": stayHTTPS, "http://127.0.0.1:1": ""} {
		w := httptest.NewRecorder()
		guarded(http.NotFoundHandler(), url).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// TestOtherSitesChangeNothing: what a page of another site makes a browser send
// is refused before it is looked at; programs send no such headers.
func TestOtherSitesChangeNothing(t *testing.T) {
	taken := 0
	h := guarded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken++ }), "https://p.example")
	for i, tc := range []struct {
		method, name, value string
		want                int
	}{
		{"POST", "Sec-Fetch-Site", "cross-site", 403},
		{"POST", "Origin", "https://evil.example", 403},
		{"DELETE", "Sec-Fetch-Site", "same-site", 403},
		{"POST", "Sec-Fetch-Site", "same-origin", 200},
		{"POST", "User-Agent", "oras", 200},
		{"GET", "Sec-Fetch-Site", "cross-site", 200},
	} {
		r := httptest.NewRequest(tc.method, "https://p.example/v1/x", nil)
		r.Header.Set(tc.name, tc.value)
		w := httptest.NewRecorder()
		before := taken
		h.ServeHTTP(w, r)
		if w.Code != tc.want || (taken > before) != (tc.want == 200) {
			t.Errorf("%d: %+v: got %d", i, tc, w.Code)
		}
	}
}
