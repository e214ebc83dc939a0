package main

import (
	"net/http"
	"strings"
)

// Headers of every answer outside /v2/: nothing here is a page for others to
// frame, load or be told of.
const (
	pagePolicy  = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
	permissions = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), usb=()"
	stayHTTPS   = "max-age=31536000"
)

// Values that all answers share: nothing changes them, and adding makes
// another list.
var (
	noSniffing = []string{"nosniff"}
	onlyHTTPS  = []string{stayHTTPS}
	attached   = []string{"attachment"}
	noPage     = []string{"default-src 'none'; sandbox"}
)

// guarded sets the headers that keep browsers from making something of an
// answer, and refuses what a page of another site makes a browser send.
func guarded(next http.Handler, baseURL string) http.Handler {
	secure := strings.HasPrefix(baseURL, "https://")
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"] = noSniffing
		if secure {
			h["Strict-Transport-Security"] = onlyHTTPS
		}
		if r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") {
			h["Content-Disposition"], h["Content-Security-Policy"] = attached, noPage
		} else {
			setPageHeaders(h)
		}
		next.ServeHTTP(w, r)
	})
}

func setPageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
}
