package tsa

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha1"
	"crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/timestamp-authority/v2/pkg/verification"

	"github.com/patchfit/patchfit/ledger"
)

func newTestKey(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAuthority(t testing.TB) (*Authority, []*x509.Certificate) {
	key := newTestKey(t)
	chain, err := NewChain(key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return a, chain
}

var signature = []byte("a signature")

func request(t testing.TB, change func(*timestamp.Request)) []byte {
	sum := sha256.Sum256(signature)
	req := timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Nonce: big.NewInt(42), Certificates: true}
	if change != nil {
		change(&req)
	}
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func verify(reply []byte, chain []*x509.Certificate) (*timestamp.Timestamp, error) {
	return verification.VerifyTimestampResponse(reply, bytes.NewReader(signature), verification.VerifyOpts{
		TSACertificate: chain[0], Roots: chain[1:], Nonce: big.NewInt(42),
	})
}

func TestTimestamp(t *testing.T) {
	a, chain := newAuthority(t)
	for name, change := range map[string]func(*timestamp.Request){
		"with certificate":    nil,
		"without certificate": func(r *timestamp.Request) { r.Certificates = false },
		"with policy":         func(r *timestamp.Request) { r.TSAPolicyOID = policy },
	} {
		before := time.Now().Truncate(time.Second)
		reply, err := a.Timestamp(request(t, change))
		if err != nil {
			t.Fatal(name, err)
		}
		ts, err := verify(reply, chain)
		if err != nil {
			t.Fatal(name, err)
		}
		if ts.Time.Before(before) || ts.Time.After(time.Now()) {
			t.Errorf("%s: time is %v", name, ts.Time)
		}
		if _, other := newAuthority(t); !refuses(reply, other) {
			t.Errorf("%s: verified with another authority's chain", name)
		}
		reply[len(reply)-1] ^= 1
		if !refuses(reply, chain) {
			t.Errorf("%s: a changed signature verified", name)
		}
	}
}

func refuses(reply []byte, chain []*x509.Certificate) bool {
	_, err := verify(reply, chain)
	return err != nil
}

func TestBadRequests(t *testing.T) {
	a, _ := newAuthority(t)
	good := request(t, nil)
	for name, b := range map[string][]byte{
		"empty":         nil,
		"garbage":       []byte("hello"),
		"trailing data": append(bytes.Clone(good), 0),
		"cut":           good[:len(good)-1],
		"too long":      append(bytes.Clone(good), make([]byte, maxRequest)...),
		"sha1":          request(t, func(r *timestamp.Request) { r.HashAlgorithm = crypto.SHA1; r.HashedMessage = make([]byte, 20) }),
		"short hash":    request(t, func(r *timestamp.Request) { r.HashedMessage = r.HashedMessage[1:] }),
		"long hash":     request(t, func(r *timestamp.Request) { r.HashedMessage = append(r.HashedMessage, 0) }),
		"no hash":       request(t, func(r *timestamp.Request) { r.HashedMessage = nil }),
		"other policy":  request(t, func(r *timestamp.Request) { r.TSAPolicyOID = asn1.ObjectIdentifier{1, 2, 3} }),
		"extension": request(t, func(r *timestamp.Request) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}),
	} {
		if reply, err := a.Timestamp(b); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %d bytes, %v, want ErrBadRequest", name, len(reply), err)
		}
	}
}

func TestCertificateHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, chain := newAuthority(t)
		reply, err := a.Timestamp(request(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(lifetime + time.Second)
		if _, err := a.Timestamp(request(t, nil)); err == nil || errors.Is(err, ErrBadRequest) {
			t.Errorf("after its end: %v, want a failure of its own", err)
		}
		if _, err := verify(reply, chain); err != nil {
			t.Errorf("a timestamp of before does not verify any more: %v", err)
		}
	})
}

func TestBadChains(t *testing.T) {
	key := newTestKey(t)
	chain, err := NewChain(key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewChain(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][]*x509.Certificate{
		"none":          nil,
		"only its own":  chain[:1],
		"reversed":      {chain[1], chain[0]},
		"another's":     {chain[0], other[1]},
		"not for time":  chainFor(t, key, uses(x509.ExtKeyUsageServerAuth)),
		"for two uses":  chainFor(t, key, uses(x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageServerAuth)),
		"for any use":   chainFor(t, key, uses()),
		"not critical":  chainFor(t, key, uses(x509.ExtKeyUsageTimeStamping)),
		"an authority":  chainFor(t, key, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }),
		"only the root": chain[1:],
	} {
		if _, err := New(key, c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(key, chainFor(t, key, func(*x509.Certificate) {})); err != nil {
		t.Errorf("a good chain was refused: %v", err)
	}
	if _, err := New(newTestKey(t), chain); err == nil {
		t.Error("a key that is not the certificate's was taken")
	}
}

// chainFor returns a good chain but for what change does to the leaf.
func chainFor(t *testing.T, key *ecdsa.PrivateKey, change func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	rootKey := newTestKey(t)
	root, err := template("root", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	if root, err = sign(root, root, rootKey.Public(), rootKey); err != nil {
		t.Fatal(err)
	}
	leaf, err := template("leaf", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if leaf.ExtraExtensions, err = timeStampingOnly(); err != nil {
		t.Fatal(err)
	}
	change(leaf)
	if leaf, err = sign(leaf, root, key.Public(), rootKey); err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{leaf, root}
}

func uses(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtraExtensions, c.ExtKeyUsage = nil, u }
}

func TestHTTP(t *testing.T) {
	a, chain := newAuthority(t)
	good := string(request(t, nil))
	for name, c := range map[string]struct {
		method, path, typ, body string
		want                    int
	}{
		"good":        {"POST", ledger.TimestampsPath, "application/timestamp-query", good, 201},
		"GET":         {"GET", ledger.TimestampsPath, "", "", 405},
		"other path":  {"POST", ledger.TimestampsPath + "/x", "application/timestamp-query", good, 404},
		"other type":  {"POST", ledger.TimestampsPath, "application/json", good, 415},
		"no type":     {"POST", ledger.TimestampsPath, "", good, 415},
		"bad request": {"POST", ledger.TimestampsPath, "application/timestamp-query", "hello", 400},
		"too long":    {"POST", ledger.TimestampsPath, "application/timestamp-query", good + strings.Repeat("x", maxRequest), 413},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.typ)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		reply, err := io.ReadAll(w.Result().Body)
		if err != nil || w.Code != c.want {
			t.Errorf("%s: %d %q, want %d (%v)", name, w.Code, reply, c.want, err)
		}
		if c.want != http.StatusCreated {
			continue
		}
		if _, err := verify(reply, chain); err != nil || w.Header().Get("Content-Type") != "application/timestamp-reply" {
			t.Errorf("%s: %v %v", name, w.Header(), err)
		}
	}
}

// FuzzTimestamp: whatever is answered verifies for the hash that was asked for.
func FuzzTimestamp(f *testing.F) {
	a, _ := newAuthority(f)
	f.Add(request(f, nil))
	f.Add(request(f, func(r *timestamp.Request) { r.Nonce = nil; r.Certificates = false }))
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		reply, err := a.Timestamp(b)
		if err != nil {
			return
		}
		req, err := timestamp.ParseRequest(b)
		if err != nil {
			t.Fatal(err)
		}
		ts, err := timestamp.ParseResponse(reply)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ts.HashedMessage, req.HashedMessage) || ts.HashAlgorithm != req.HashAlgorithm {
			t.Errorf("asked for %x, got %x", req.HashedMessage, ts.HashedMessage)
		}
	})
}
