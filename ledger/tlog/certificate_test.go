package tlog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	pb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// certifiedLeaf returns a leaf by a key with a certificate.
func certifiedLeaf(t *testing.T) (*pb.HashedRekordRequestV002, *attest.Certificate) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{{Scheme: "spiffe", Host: "build.example", Path: "/patches"}},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Minute), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := attest.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s, pub := signerOf(t, k)
	raw, err := attest.SignEnvelope("text/plain", []byte("certified"), s)
	if err != nil {
		t.Fatal(err)
	}
	e, err := attest.ParseEnvelope(raw, "text/plain")
	if err != nil || e.Verify(pub) != nil {
		t.Fatal(err)
	}
	req, err := ledger.Leaf(e, cert)
	if err != nil {
		t.Fatal(err)
	}
	return req, cert
}

func TestCertifiedLeaves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	req, cert := certifiedLeaf(t)
	h.opts.Certified = func(c *attest.Certificate) error {
		if !c.Equal(cert) {
			return errors.New("somebody else's certificate")
		}
		return nil
	}
	l := h.open()
	entry, _, err := l.Add(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hashedrekord.ToEntryHash(req.GetDigest(), req.GetSignature())
	if err != nil || string(ledger.EntryHash(entry.GetCanonicalizedBody())) != string(want) {
		t.Errorf("the leaf is not the one rekor-tiles makes (%v)", err)
	}
	read, err := ledger.ParseEntry(entry.GetCanonicalizedBody())
	if err != nil || !read.Certificate.Equal(cert) || !read.Key.Equal(cert.SigningKey()) {
		t.Errorf("the leaf reads as %+v, %v", read, err)
	}
	other, _ := certifiedLeaf(t)
	r := call(t, l, http.MethodPost, "/api/v2/log/entries", request(t, other))
	if b := text(t, r); r.StatusCode != 403 || !strings.Contains(b, "somebody else's certificate") {
		t.Errorf("another certificate: %s %s", r.Status, b)
	}
	req.Signature.Content = other.Signature.Content
	r = call(t, l, http.MethodPost, "/api/v2/log/entries", request(t, req))
	if b := text(t, r); r.StatusCode != 400 || !strings.Contains(b, "verifying signature") {
		t.Errorf("another's signature: %s %s", r.Status, b)
	}
}

// TestCertificatesNeedAnAnswer: a log that nobody told about certificates takes
// none, whatever keys it takes.
func TestCertificatesNeedAnAnswer(t *testing.T) {
	t.Parallel()
	req, _ := certifiedLeaf(t)
	if _, _, err := newHouse(t).open().Add(t.Context(), req); !errors.Is(err, ErrStranger) {
		t.Errorf("got %v", err)
	}
}
