package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestFront: artifacts are behind one door, however their paths are written;
// what is written otherwise finds nothing behind the others.
func TestFront(t *testing.T) {
	var got string
	door := func(name string) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got = name })
	}
	h := front(door("artifacts"), door("others"))
	for path, want := range map[string]string{
		"/v2": "artifacts", "/v2/": "artifacts", "/v2/lib/greet/manifests/x": "artifacts", "/v2/lib%2fgreet/manifests/x": "artifacts", "/v2/../v1/x": "artifacts", "/v2x": "artifacts",
		"/": "others", "/v1/x": "others", "//v2/x": "others", "/%76%32/lib/greet/manifests/x": "others", "/v1/../v2/x": "others", "/V2/": "others",
	} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
