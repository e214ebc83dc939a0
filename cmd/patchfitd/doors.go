package main

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tsa"
	"github.com/patchfit/patchfit/registry"
	"github.com/patchfit/patchfit/registry/admit"
	"github.com/patchfit/patchfit/registry/auth"
	"github.com/patchfit/patchfit/registry/control"
	"github.com/patchfit/patchfit/registry/gate"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/web"
)

// doors builds the one handler of the server. baseURL is the address clients
// know; what they sign names it.
//
//	/v2/                artifacts, behind the gate
//	/token              who are you
//	/v1/, /v1/audit/    admins, hosts, publishers; auditors
//	/api/v2/            the log (Rekor v2)
//	/shards/ORIGIN/api/v2/   logs before it, to be read
//	/api/v1/timestamp   the timestamp authority (RFC 3161)
//	/trusted_root.json, /signing_config.json   for Sigstore clients
//	/tuf/               the same and the trust policy, by TUF
func (h *house) doors(x *index.Index, baseURL string) (http.Handler, error) {
	h.index = x
	if err := h.openBook(); err != nil {
		return nil, err
	}
	who, err := auth.New(auth.Config{URL: baseURL, Signer: h.keys.tokens, Pepper: h.keys.pepper, Directory: h.state}, &auth.Options{Logger: h.logger})
	if err != nil {
		return nil, fmt.Errorf("making the token door: %w", err)
	}
	stamp, err := tsa.New(h.keys.tsa, h.keys.tsaChain)
	if err != nil {
		return nil, fmt.Errorf("making the timestamp authority: %w", err)
	}
	limits := newLimits(h.config.Limits, who, h.meter)
	oci, err := h.registry(who, limits)
	if err != nil {
		return nil, err
	}
	api, err := h.api(x, limits, baseURL)
	if err != nil {
		return nil, err
	}
	rest := mux.NewRouter().SkipClean(true).UseEncodedPath()
	rest.Handle("/token", limits.exchanges(who.TokenHandler()))
	rest.PathPrefix("/v1/").Handler(api)
	rest.Handle("/api/v1/timestamp", limits.stamping(stamp))
	rest.PathPrefix("/api/v2/").Handler(limits.logging(tlog.Handler(h.log, h.logger)))
	for i, l := range h.frozen {
		prefix := ledger.ShardsPath + h.shards.Shards[i].Origin
		rest.PathPrefix(prefix+ledger.ReadPath).Handler(http.StripPrefix(prefix, tlog.Handler(l, h.logger))).Methods(http.MethodGet, http.MethodHead)
	}
	if err := h.material(rest, baseURL); err != nil {
		return nil, err
	}
	h.serveTUF(rest)
	rest.HandleFunc("/readyz", h.ready)
	return h.counted(proxies(h.config.Limits).Through(guarded(front(limits.steady(oci), limits.prompt(rest)), baseURL))), nil
}

// front sends requests for artifacts one way and all others the other. Every
// pull comes by here, and needs no pattern matched.
func front(artifacts, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := cmp.Or(r.URL.RawPath, r.URL.Path) // as it was written: %2e is no dot here
		if strings.HasPrefix(path, "/v2") {
			artifacts.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

func (h *house) registry(who *auth.Authority, limits *limits) (http.Handler, error) {
	g := gate.New(h.state, h.journal, &gate.Options{Logger: h.logger})
	h.gate, h.closers = g, append(h.closers, g.Close)
	bytes, err := h.openContent()
	if err != nil {
		return nil, err
	}
	oci, err := registry.New(registry.Config{
		Content: bytes, State: h.state, Gate: g, Admit: admit.New(h.state),
		Store: h.store, Journal: h.journal, Limits: quotas(&h.config.Registry.Limits), Immutable: h.config.Registry.Immutable, Damaged: h.book.Found, Logger: h.logger,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the registry: %w", err)
	}
	h.oci, h.content, h.closers = oci, bytes, append(h.closers, oci.Close)
	if err := h.tend(bytes, oci.Alone); err != nil {
		return nil, err
	}
	return who.Required(limits.known(oci)), nil
}

func (h *house) api(x *index.Index, limits *limits, baseURL string) (http.Handler, error) {
	pin, err := h.tlsPin()
	if err != nil {
		return nil, err
	}
	books, err := h.ledger()
	if err != nil {
		return nil, err
	}
	audit := web.New(x, &web.Options{Logger: h.logger, Products: h.audited, MaxPage: limits.auditPage(), Ledger: books})
	receipts, err := h.receipts(x, baseURL)
	if err != nil {
		return nil, err
	}
	return control.New(control.Config{
		URL: baseURL, TLSKey: pin, Pepper: h.keys.pepper, Receipts: receipts,
		State: h.state, Store: h.store, Journal: h.journal, Timestamps: h.tuf, Auth: limits.who, Known: limits.known, Audit: limits.queries(h.upToDate(x, audit)),
	}, &control.Options{Logger: h.logger}), nil
}

// upToDate lets auditors read what was acknowledged before they asked.
func (h *house) upToDate(x *index.Index, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.catchUp(r.Context(), x)
		next.ServeHTTP(w, r)
	})
}

// audited returns the products whoever asks is an auditor of: nil, which is
// all, for an auditor of the whole server; none for nobody.
func (h *house) audited(r *http.Request) index.Products {
	p, ok := auth.From(r.Context())
	if !ok {
		return index.Products{}
	}
	if slices.Contains(h.state.Roles(p.ID, state.AllProducts), state.RoleAuditor) {
		return nil
	}
	return h.state.ProductsOf(p.ID, state.RoleAuditor)
}

// tlsPin returns the hex sha256 of the TLS key's SPKI, "" without TLS.
func (h *house) tlsPin() (string, error) {
	if h.config.TLS.Certificate == "" {
		return "", nil
	}
	pair, err := tls.LoadX509KeyPair(h.config.TLS.Certificate, h.config.TLS.Key)
	if err != nil {
		return "", exit.Hint(fmt.Errorf("reading the TLS key pair: %w", err), "check tls.certificate and tls.key in the configuration")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return "", fmt.Errorf("reading the TLS certificate: %w", err)
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:]), nil
}

// material serves what Sigstore clients need to sign into our log and to
// verify out of it.
func (h *house) material(r *mux.Router, baseURL string) error {
	trusted, err := h.trustedRoot()
	if err != nil {
		return fmt.Errorf("making the trusted root: %w", err)
	}
	signing, err := ledger.SigningConfig(baseURL, h.began())
	if err != nil {
		return fmt.Errorf("making the signing configuration: %w", err)
	}
	for path, doc := range map[string][]byte{"/trusted_root.json": trusted, "/signing_config.json": signing} {
		r.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(doc)
		}).Methods(http.MethodGet, http.MethodHead)
	}
	return nil
}

func (h *house) isReady() bool { return h.state.Ready() && h.journal.Err() == nil }

// ready answers 200 while the server can decide and record.
func (h *house) ready(w http.ResponseWriter, _ *http.Request) {
	if !h.isReady() {
		http.Error(w, "not ready: the journal is down or still being read", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}
