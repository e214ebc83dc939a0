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
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// A keyPair is what servers need for TLS, in files, and clients to believe
// them. The zero keyPair is for plain HTTP.
type keyPair struct {
	certificate, key string
	client           *tls.Config
}

// newKeyPair makes a certificate for this machine, good for a day.
func newKeyPair(dir string) (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return keyPair{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return keyPair{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keyPair{}, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	k := keyPair{filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}}
	return k, errors.Join(
		os.WriteFile(k.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(k.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}

// says fills the files into a part of a configuration; nothing for plain HTTP.
func (k keyPair) says(format string) string {
	if k.certificate == "" {
		return ""
	}
	return fmt.Sprintf(format, k.certificate, k.key)
}

func (k keyPair) serve(srv *http.Server, l net.Listener) error {
	if k.certificate == "" {
		return srv.Serve(l)
	}
	return srv.ServeTLS(l, k.certificate, k.key)
}

// secured has patchfitd speak TLS from its next start on. The host is told that
// its server is the one at https now: it would mean another one otherwise.
func (h *house) secured(k keyPair) (*server, error) {
	f, err := os.OpenFile(filepath.Join(h.dir, "patchfitd.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(f, k.says("tls: {certificate: %q, key: %q}"))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	s := *h.server
	s.secure = k.client
	b, err := os.ReadFile(h.hostState())
	if err != nil {
		return nil, err
	}
	return &s, os.WriteFile(h.hostState(), bytes.ReplaceAll(b, []byte(h.server.url("")), []byte(s.url(""))), 0o600)
}

// tls measures some rows again, everybody with TLS. A window has a handshake
// for each of its connections.
func (f *field) tls(ctx context.Context) {
	if !f.wants("tls") {
		return
	}
	if err := f.secure(ctx); err != nil {
		f.report.missing["tls"] = err.Error()
		return
	}
	small, middle := payloads[0], payloads[1]
	f.run(ctx, row{
		name: "tls-manifest-digest", clients: 32, window: f.window,
		work: pull(http.MethodGet, fixed("manifests/"+f.known[small.tag]), f.size(http.MethodGet)),
	}, f.entrants("host", readRepo, f.labels()...))
	f.run(ctx, row{
		name: "tls-blob-1m", clients: 8, window: f.window, bytes: middle.size,
		work: pull(http.MethodGet, fixed("blobs/"+f.known[middle.tag+" layer"]), middle.size),
	}, f.entrants("host", readRepo, f.labels()...))
}

// secure starts everybody again, with TLS.
func (f *field) secure(ctx context.Context) error {
	k, err := newKeyPair(f.dir)
	if err != nil {
		return err
	}
	f.stop()
	if f.house.server, err = f.house.secured(k); err != nil {
		return err
	}
	if err := f.house.server.start(ctx); err != nil {
		return err
	}
	clear(f.house.tokens) // they are for the server at http
	rivals := f.rivals
	f.rivals = nil
	for _, old := range append(rivals, f.bare) {
		s, err := old.secured(k)
		if err == nil {
			err = s.start(ctx)
		}
		switch {
		case err != nil:
			f.report.missing["tls/"+old.name] = err.Error()
		case old == f.bare:
			f.bare = s
		default:
			f.rivals = append(f.rivals, s)
		}
	}
	return f.settled(ctx)
}

// hostState is the file that the host keeps what it knows in.
func (h *house) hostState() string { return filepath.Join(h.dir, "host", "host.json") }
