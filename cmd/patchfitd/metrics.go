package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/pace"
	"github.com/patchfit/patchfit/internal/serverconfig"
)

// scrapers is how many connections may ask for metrics at once.
const scrapers = 16

// tellMetrics answers who asks how the server is, until the house is closed: at
// an address of its own, where the configuration names one.
func (h *house) tellMetrics(stdout io.Writer) error {
	c := h.config.Metrics
	if c == (serverconfig.Metrics{}) {
		return nil
	}
	handler, err := h.metrics()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening for metrics: %w", err)
	}
	addr := l.Addr().String()
	l = pace.Listen(l, pace.Connections{Total: scrapers, Place: scrapers, Logger: h.logger})
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 8 << 10,
	}
	scheme, serve := "http", func() error { return srv.Serve(l) }
	if host, _, _ := net.SplitHostPort(addr); h.config.TLS.Certificate != "" && !net.ParseIP(host).IsLoopback() {
		scheme, serve = "https", func() error { return srv.ServeTLS(l, h.config.TLS.Certificate, h.config.TLS.Key) }
	}
	done := make(chan error, 1)
	go func() { done <- serve() }()
	h.closers = append(h.closers, func() error {
		err := srv.Close()
		<-done
		return err
	})
	fmt.Fprintf(stdout, "metrics on %s://%s/metrics\n", scheme, addr)
	return nil
}

// metrics is the handler of that address.
func (h *house) metrics() (http.Handler, error) {
	m := http.NewServeMux()
	m.Handle("GET /metrics", h.meter.Handler())
	if h.config.Metrics.TokenFile == "" {
		return hardened(m), nil
	}
	token, err := keyfile.LoadLine(h.config.Metrics.TokenFile)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("reading the token for metrics: %w", err), "make one with: (umask 077; openssl rand -hex 32 > "+h.config.Metrics.TokenFile+")")
	}
	return hardened(bearing(token, m)), nil
}

// bearing answers who shows a token, and tells nobody else what is there.
func bearing(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(shown))
		if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
			http.Error(w, "show the token for metrics", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		setPageHeaders(w.Header())
		next.ServeHTTP(w, r)
	})
}

// counted counts requests, where somebody may ask how many there were.
func (h *house) counted(next http.Handler) http.Handler {
	if h.config.Metrics == (serverconfig.Metrics{}) {
		return next
	}
	return h.meter.Requests(next)
}
