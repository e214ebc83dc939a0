package client_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/ledger/tlog"
	"github.com/patchfit/patchfit/ledger/tsa"
)

const origin = "log.example.org"

// A world is a server with a log and a timestamp authority, and what is needed
// to trust it.
type world struct {
	t           testing.TB
	logKey      ed25519.PrivateKey
	log         *tlog.Log
	url         string
	trustedRoot []byte
}

func newWorld(t testing.TB) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOf(t, key)
}

// newWorldOf returns a world whose log has the given key. Two of one key are a
// log that tells two stories.
func newWorldOf(t testing.TB, key ed25519.PrivateKey) *world {
	t.Helper()
	log, err := tlog.Open(t.Context(), t.TempDir(), origin, key, &tlog.Options{
		Allowed: func(attest.Digest) bool { return true }, BatchAge: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(context.Background()) })
	tsaKey := newKey(t)
	chain, err := tsa.NewChain(tsaKey)
	if err != nil {
		t.Fatal(err)
	}
	stamps, err := tsa.New(tsaKey, chain)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(ledger.ReadPath, log)
	mux.Handle(ledger.TimestampsPath, stamps)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	root, err := ledger.TrustedRoot([]ledger.LogKey{{Origin: origin, Key: key.Public(), Start: chain[0].NotBefore}}, chain)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, logKey: key, log: log, url: srv.URL, trustedRoot: root}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// client returns a client whose answers pass through tamper; nil lets them be.
func (w *world) client(tamper func(r *http.Request, status int, body []byte) (int, []byte)) *client.Client {
	w.t.Helper()
	c, err := client.New(w.url, &http.Client{Transport: transport{tamper}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

type transport struct {
	tamper func(r *http.Request, status int, body []byte) (int, []byte)
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || t.tamper == nil {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.StatusCode, body = t.tamper(r, resp.StatusCode, body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// A publisher signs statements.
type publisher struct {
	key    *ecdsa.PrivateKey
	signer signature.Signer
	public *attest.PublicKey
}

func newPublisher(t testing.TB) *publisher {
	t.Helper()
	k := newKey(t)
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	p, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &publisher{k, s, p}
}

var subject = attest.DigestOf([]byte("a manifest"))

func statement(t testing.TB) []byte {
	t.Helper()
	b, err := attest.NewStatement(attest.TypeRevocation, []attest.Subject{{Name: "patch", Digest: subject}}, attest.Revocation{
		Product: "4b1f4f0e-6b1c-4c55-8e0c-2c4c1f5d8a11", Kind: attest.RevokeSubject, Digest: subject, Reason: "it crashes",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign returns a new envelope: ECDSA signatures are never the same twice.
func (p *publisher) sign(t testing.TB) []byte {
	t.Helper()
	e, err := attest.SignEnvelope(attest.PayloadType, statement(t), p.signer)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fill logs n entries at once.
func (w *world) fill(n int) {
	w.t.Helper()
	p, c := newPublisher(w.t), w.client(nil)
	var wg sync.WaitGroup
	for range n {
		e := p.sign(w.t)
		wg.Go(func() {
			if _, err := c.Log(w.t.Context(), e, p.public); err != nil {
				w.t.Error(err)
			}
		})
	}
	wg.Wait()
}
