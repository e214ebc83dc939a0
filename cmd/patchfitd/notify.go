package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger/notify"
)

// notify begins to tell the endpoints of the configuration what the journal
// takes. It is before the first request, so that a new endpoint misses none.
func (h *house) notify() error {
	c := notify.Config{Dir: h.path(notifyDir), Origin: h.birthName(), Source: h.journal, Product: h.state.ProductEver, Rebuild: h.state.Rebuilt}
	for _, n := range h.config.Notifications {
		e, err := endpoint(n)
		if err != nil {
			return fmt.Errorf("notifications: endpoint %.80q: %w", n.Name, err)
		}
		c.Endpoints = append(c.Endpoints, e)
	}
	n, err := notify.Open(c, &notify.Options{Logger: h.logger})
	if err != nil {
		return exit.Hint(err, "see notifications in the configuration, and docs/spec/notifications.md")
	}
	h.notifier, h.closers = n, append(h.closers, n.Close)
	return nil
}

func endpoint(n serverconfig.Notification) (notify.Endpoint, error) {
	e := notify.Endpoint{
		Name: n.Name, URL: n.URL, Types: n.Types, Products: n.Products,
		Timeout: time.Duration(n.Timeout), GiveUpAfter: time.Duration(n.GiveUpAfter),
	}
	for _, file := range n.Secrets {
		secret, err := keyfile.LoadSecret(file)
		if err != nil {
			return e, exit.Hint(err, "make one with: (umask 077; openssl rand -hex 32 > "+file+")")
		}
		e.Secrets = append(e.Secrets, secret)
	}
	if n.CA == "" {
		return e, nil
	}
	b, err := os.ReadFile(n.CA)
	if err != nil {
		return e, fmt.Errorf("reading its authorities: %w", err)
	}
	if e.Roots = x509.NewCertPool(); !e.Roots.AppendCertsFromPEM(b) {
		return e, fmt.Errorf("reading its authorities: %s holds no certificate in PEM", n.CA)
	}
	return e, nil
}
