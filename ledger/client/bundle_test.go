package client_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digitorus/timestamp"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/client"
)

// verifyBundle is what a stock client does with a bundle, trusted_root.json
// and a key, offline.
func (w *world) verifyBundle(b []byte, p *publisher, digest attest.Digest) error {
	w.t.Helper()
	material, err := root.NewTrustedRootFromJSON(w.trustedRoot)
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := signature.LoadECDSAVerifier(&p.key.PublicKey, crypto.SHA256)
	if err != nil {
		w.t.Fatal(err)
	}
	keys := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(key, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)), nil
	})
	v, err := verify.NewVerifier(root.TrustedMaterialCollection{material, keys}, verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err != nil {
		w.t.Fatal(err)
	}
	entity := new(bundle.Bundle)
	if err := entity.UnmarshalJSON(b); err != nil {
		return err
	}
	_, err = v.Verify(entity, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest.Sum()), verify.WithKey()))
	return err
}

func TestBundle(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPublisher(t)
	c := w.client(nil)
	envelope := p.sign(t)
	for range 2 { // the second time it is in the log already
		b, err := c.Bundle(t.Context(), envelope, p.public)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.verifyBundle(b, p, subject); err != nil {
			t.Error(err)
		}
		if _, err := attest.ParseBundle(b); err != nil {
			t.Error(err)
		}
		if err := w.verifyBundle(b, newPublisher(t), subject); err == nil {
			t.Error("verified with another's key")
		}
		if err := w.verifyBundle(b, p, attest.DigestOf([]byte("another"))); err == nil {
			t.Error("verified for another artifact")
		}
		if err := newWorld(t).verifyBundle(b, p, subject); err == nil {
			t.Error("verified with another server's trusted root")
		}
	}
	if n, _ := w.log.Size(t.Context()); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

// TestStockClient signs into our log with sigstore-go alone, as cosign does.
func TestStockClient(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPublisher(t)
	made, err := sign.Bundle(&sign.DSSEData{Data: statement(t), PayloadType: attest.PayloadType}, keypair{p}, sign.BundleOptions{
		TransparencyLogs:     []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: w.url, Version: 2})},
		TimestampAuthorities: []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: w.url + "/api/v1/timestamp"})},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.verifyBundle(b, p, subject); err != nil {
		t.Error(err)
	}
	if _, err := attest.ParseBundle(b); err != nil {
		t.Error(err)
	}
}

// A keypair lets sigstore-go sign with a publisher's key.
type keypair struct{ *publisher }

func (k keypair) GetHashAlgorithm() protocommon.HashAlgorithm {
	return protocommon.HashAlgorithm_SHA2_256
}
func (k keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
}
func (k keypair) GetHint() []byte                { return []byte(k.public.Hint()) }
func (k keypair) GetKeyAlgorithm() string        { return "ECDSA" }
func (k keypair) GetPublicKey() crypto.PublicKey { return k.key.Public() }
func (k keypair) GetPublicKeyPem() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k.key.Public())
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), err
}
func (k keypair) SignData(_ context.Context, data []byte) (sig, digest []byte, err error) {
	sum := sha256.Sum256(data)
	sig, err = k.signer.SignMessage(bytes.NewReader(data))
	return sig, sum[:], err
}

// TestLyingServer has a server that answers, validly, something else.
func TestLyingServer(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPublisher(t)
	var entry, stamp []byte
	remember := w.client(func(r *http.Request, status int, b []byte) (int, []byte) {
		if strings.Contains(r.URL.Path, "v2") {
			entry = b
		} else {
			stamp = b
		}
		return status, b
	})
	envelope := p.sign(t)
	if _, err := remember.Timestamp(t.Context(), signatureOf(t, envelope)); err != nil {
		t.Fatal(err)
	}
	replay := stamp
	if _, err := remember.Bundle(t.Context(), p.sign(t), p.public); err != nil {
		t.Fatal(err)
	}
	for name, tamper := range map[string]func(r *http.Request, status int, b []byte) (int, []byte){
		"another entry":  replaceAt("/api/v2/", func([]byte) []byte { return entry }),
		"another time":   replaceAt("/api/v1/", func([]byte) []byte { return stamp }),
		"time of before": replaceAt("/api/v1/", func([]byte) []byte { return replay }),
		"another body": replaceAt("/api/v2/", func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"canonicalizedBody":"eyJ`), []byte(`"canonicalizedBody":"e3J`), 1)
		}),
		"another index": replaceAt("/api/v2/", func(b []byte) []byte { return bytes.Replace(b, []byte(`"logIndex":"1"`), []byte(`"logIndex":"0"`), 2) }),
		"another root":  replaceAt("/api/v2/", func(b []byte) []byte { return bytes.Replace(b, []byte(`"rootHash":"`), []byte(`"rootHash":"AAAA`), 1) }),
		"no proof":      replaceAt("/api/v2/", func([]byte) []byte { return []byte(`{}`) }),
		"no JSON":       replaceAt("/api/v2/", func([]byte) []byte { return []byte(`<html>`) }),
		"too much":      replaceAt("/api/v2/", func([]byte) []byte { return make([]byte, 2<<20) }),
		"no timestamp":  replaceAt("/api/v1/", func([]byte) []byte { return nil }),
		"cut timestamp": replaceAt("/api/v1/", func(b []byte) []byte { return b[:len(b)-1] }),
	} {
		if _, err := w.client(tamper).Bundle(t.Context(), envelope, p.public); !errors.Is(err, client.ErrBadAnswer) {
			t.Errorf("%s: %v, want ErrBadAnswer", name, err)
		}
	}
	if _, err := w.client(nil).Bundle(t.Context(), envelope, p.public); err != nil {
		t.Error(err)
	}
}

func signatureOf(t *testing.T, envelope []byte) []byte {
	t.Helper()
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err != nil {
		t.Fatal(err)
	}
	return e.Signatures[0].Sig
}

func replaceAt(path string, f func([]byte) []byte) func(*http.Request, int, []byte) (int, []byte) {
	return func(r *http.Request, status int, b []byte) (int, []byte) {
		if strings.HasPrefix(r.URL.Path, path) {
			b = f(b)
		}
		return status, b
	}
}

// swap has something else timestamped than what was asked for.
type swap struct{}

func (s swap) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	req, err := timestamp.ParseRequest(body)
	if err != nil {
		return nil, err
	}
	req.HashedMessage[0] ^= 1
	if body, err = req.Marshal(); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return http.DefaultTransport.RoundTrip(r)
}

func TestTimestampOfAnother(t *testing.T) {
	t.Parallel()
	c, err := client.New(newWorld(t).url, &http.Client{Transport: swap{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Timestamp(t.Context(), []byte("mine")); !errors.Is(err, client.ErrBadAnswer) {
		t.Errorf("%v, want ErrBadAnswer", err)
	}
}

func TestRefusedEnvelopes(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPublisher(t)
	c := w.client(nil)
	if _, err := c.Bundle(t.Context(), p.sign(t), newPublisher(t).public); err == nil {
		t.Error("an envelope was logged with a key that did not sign it")
	}
	for _, bad := range []string{"", "{}", "null"} {
		if _, err := c.Log(t.Context(), []byte(bad), p.public); err == nil {
			t.Errorf("%q was logged", bad)
		}
	}
	if n, _ := w.log.Size(t.Context()); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}

// answers is a server that gives one answer after the other, and the last for
// ever.
type answers struct {
	statuses []int
	body     string
	asked    atomic.Int32
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	i := min(int(a.asked.Add(1)), len(a.statuses)) - 1
	return &http.Response{StatusCode: a.statuses[i], Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

func TestTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []int
		want     error
		asked    int32
	}{
		"busy, then a stranger": {[]int{503, 503, 403}, client.ErrStranger, 3},
		"busy for ever":         {[]int{503}, client.ErrUnavailable, 6},
		"bad at once":           {[]int{403}, client.ErrStranger, 1},
		"not there":             {[]int{404}, client.ErrNotFound, 1},
		"good, but no entry":    {[]int{502, 201}, client.ErrBadAnswer, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{statuses: c.statuses, body: `{"code":7,"message":"the reason","details":[]}`}
			cl, err := client.New("http://server.example.org/", &http.Client{Transport: a})
			if err != nil {
				t.Fatal(err)
			}
			p := newPublisher(t)
			_, err = cl.Log(t.Context(), p.sign(t), p.public)
			if !errors.Is(err, c.want) || a.asked.Load() != c.asked {
				t.Errorf("%s: asked %d times, %v", name, a.asked.Load(), err)
			}
			var e *client.Error
			if c.want != client.ErrBadAnswer && (!errors.As(err, &e) || e.Message != "the reason") {
				t.Errorf("%s: %v, want the server's reason", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a := &answers{statuses: []int{503}}
		cl, err := client.New("http://server.example.org", &http.Client{Transport: a})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := cl.Timestamp(ctx, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want context.DeadlineExceeded", err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for _, bad := range []string{"", "host", "ftp://host", "https://user@host", "https://host?q", "https://host#f", "://"} {
		if _, err := client.New(bad, nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
