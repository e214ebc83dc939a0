package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/meter"
	"github.com/patchfit/patchfit/internal/serverconfig"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/registry/damage"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// watching opens a server with more configuration and returns where clients are
// answered, where metrics are ("" for nowhere), and the house.
func watching(t *testing.T, more string) (clients, metrics string, h *house) {
	t.Helper()
	h, err := openHouse(t.Context(), newData(t, more), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l, err := h.listen()
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(h.path(indexFile))
	if err != nil {
		t.Fatal(err)
	}
	handler, err := h.doors(x, "http://"+l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := h.tellMetrics(&out); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.run(ctx, l, handler) }()
	t.Cleanup(func() {
		stop()
		for _, err := range []error{<-done, x.Close(), h.close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return "http://" + l.Addr().String(), strings.TrimSpace(strings.TrimPrefix(out.String(), "metrics on ")), h
}

// ask returns the status and the body of an answer.
func ask(t *testing.T, c *http.Client, url, authorization string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// value returns a metric of a scrape; "" where it is not there.
func value(scrape, name string) string {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(scrape)
	if m == nil {
		return ""
	}
	return m[1]
}

// TestMetrics: a whole server says what happened to it, at its own address and
// nowhere else.
func TestMetrics(t *testing.T) {
	clients, metrics, h := watching(t, "metrics: {listen: '127.0.0.1:0'}\nregistry: {scrub: {every: 1h}, limits: {repository: 1GiB}}\n")
	for _, path := range []string{"/readyz", "/v2/", "/v2/x/manifests/y", "/metrics", "/token"} {
		ask(t, http.DefaultClient, clients+path, "")
	}
	h.oci.Damaged(damage.Object{Kind: damage.Blob, Repository: "x", Digest: attest.DigestOf(nil)})
	code, got := ask(t, http.DefaultClient, metrics, "")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, got)
	}
	for name, want := range map[string]string{
		"patchfitd_ready": "1", "patchfitd_journal_up": "1", "patchfitd_read_errors": "0",
		`patchfitd_damage_open{kind="blob"}`: "1", `patchfitd_damage_found_total{kind="blob"}`: "1",
		`patchfitd_damage_open{kind="manifest"}`: "0", "patchfitd_scrub_interval_seconds": "3600", "patchfitd_scrub_running": "0",
		`patchfitd_requests_total{code="200",route="ready"}`: "1", `patchfitd_requests_total{code="401",route="ping"}`: "1",
		`patchfitd_requests_total{code="401",route="manifest"}`: "1", `patchfitd_requests_total{code="404",route="other"}`: "1",
		`patchfitd_decisions_total{outcome="deny",reason="ENV_MISMATCH"}`: "0", "patchfitd_uploads_open": "0", "patchfitd_disk_low": "0",
		"patchfitd_quota_bytes": "1.073741824e+09", "patchfitd_log_unpublished_seconds": "0", `patchfitd_tuf_expiry_timestamp_seconds{role="root"}`: "",
	} {
		if v := value(got, name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	for _, there := range []string{"patchfitd_log_entries_total", "patchfitd_log_checkpoint_timestamp_seconds", "process_open_fds", "go_goroutines", `patchfitd_build_info{version="unknown"}`} {
		if value(got, there) == "" {
			t.Errorf("no %s", there)
		}
	}
	if code, _ := ask(t, http.DefaultClient, strings.TrimSuffix(metrics, "metrics"), ""); code != http.StatusNotFound {
		t.Errorf("something else is there, too: %d", code)
	}
	if code, body := ask(t, http.DefaultClient, clients+"/metrics", ""); code != http.StatusNotFound || strings.Contains(body, "patchfitd_") {
		t.Errorf("clients get metrics: %d %s", code, body)
	}
}

// TestRoomByProduct: bytes are told by the id of a product, never by its name.
func TestRoomByProduct(t *testing.T) {
	served := statetest.New(t)
	served.Must(ledger.KindBlob, ledger.BlobPut{Repository: statetest.Repository, Digest: attest.DigestOf(nil), Size: 77, By: served.Admin})
	product, _ := served.State.Product(statetest.Repository)
	h := &house{state: served.State, config: &serverconfig.Config{Data: t.TempDir()}}
	var s meter.State
	if err := h.askRoom(&s); err != nil {
		t.Fatal(err)
	}
	if len(s.Stored) != 1 || s.Stored[product] != 77 || s.DiskSize == 0 || s.DiskFree == 0 {
		t.Errorf("got %+v", s)
	}
	h.config.Data += "/gone"
	if err := h.askRoom(&s); err == nil {
		t.Error("a disk that is gone is none")
	}
}

// TestMetricsAreOffByDefault: nothing listens that nobody asked for.
func TestMetricsAreOffByDefault(t *testing.T) {
	if _, metrics, _ := watching(t, ""); metrics != "" {
		t.Errorf("metrics are at %s", metrics)
	}
}

// TestTokenForMetrics: without the token, or with anything like it, nothing.
func TestTokenForMetrics(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, metrics, _ := watching(t, "metrics: {listen: '127.0.0.1:0', tokenFile: '"+file+"'}\n")
	for authorization, want := range map[string]int{
		"Bearer s3cret": 200, "bearer s3cret": 200,
		"": 401, "Bearer": 401, "Bearer ": 401, "Bearer s3cre": 401, "Bearer s3cret2": 401, "Basic s3cret": 401, "s3cret": 401, "Bearer  s3cret": 401,
	} {
		if code, body := ask(t, http.DefaultClient, metrics, authorization); code != want || want != 200 && strings.Contains(body, "patchfitd_") {
			t.Errorf("%q: %d, want %d", authorization, code, want)
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := openHouse(t.Context(), newData(t, "metrics: {listen: '127.0.0.1:0', tokenFile: '"+file+"'}\n"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if err := h.tellMetrics(io.Discard); err == nil || !strings.Contains(err.Error(), "can be read by others") {
		t.Errorf("a token that others can read: %v", err)
	}
}

// TestMetricsOverTLS: on another address than loopback they come with the
// server's own certificate.
func TestMetricsOverTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	h, err := openHouse(t.Context(), newData(t, ""), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.openBook(); err != nil {
		t.Fatal(err)
	}
	h.config.TLS.Certificate, h.config.TLS.Key = cert, key
	h.config.Metrics.Listen, h.config.Metrics.TokenFile = "0.0.0.0:0", file
	var out bytes.Buffer
	if err := h.tellMetrics(&out); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(strings.TrimPrefix(out.String(), "metrics on "))
	if !strings.HasPrefix(address, "https://") {
		t.Fatalf("metrics on %s", address)
	}
	_, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(address, "https://"), "/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "metrics.test"}}}
	defer c.CloseIdleConnections()
	if code, _ := ask(t, c, "https://127.0.0.1:"+port+"/metrics", "Bearer s3cret"); code != http.StatusOK {
		t.Errorf("%d", code)
	}
}

// certificate makes a key pair for metrics.test.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"metrics.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}
