package modsign_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/build/modsign"
	"github.com/patchfit/patchfit/build/vendors/vendorstest"
	"github.com/patchfit/patchfit/internal/machinetest"
)

// An owner is a key and its certificate.
type owner struct {
	signature.Signer
	key  crypto.Signer
	cert *x509.Certificate
}

func own(t testing.TB, k crypto.Signer, serial int64) owner {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "patchfit test modules"}, SubjectKeyId: []byte{1, 2, 3, byte(serial)},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_700_000_001, 0), // ended: nobody asks
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := modsign.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return owner{s, k, cert}
}

func rsaOwner(t testing.TB) owner {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return own(t, k, 7)
}

func ecOwner(t testing.TB) owner {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return own(t, k, 8)
}

var module = []byte("\x7fELF and what is in a module")

func TestSign(t *testing.T) {
	for name, o := range map[string]owner{"RSA": rsaOwner(t), "ECDSA": ecOwner(t)} {
		signed, err := modsign.Sign(module, o, o.cert)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s, err := modsign.Verify(signed, o.cert)
		if err != nil || !bytes.Equal(s.Module, module) || s.Hash != crypto.SHA256 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		again, err := modsign.Sign(module, o, o.cert)
		if err != nil || name == "RSA" && !bytes.Equal(signed, again) {
			t.Errorf("%s: signed again it is another file (%v)", name, err)
		}
		if _, err := modsign.Sign(signed, o, o.cert); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("%s: signed twice: %v", name, err)
		}
	}
}

func TestWhatIsNotSigned(t *testing.T) {
	o, other := rsaOwner(t), rsaOwner(t)
	signed, err := modsign.Sign(module, o, o.cert)
	if err != nil {
		t.Fatal(err)
	}
	at := func(fromEnd int, b byte) []byte {
		c := bytes.Clone(signed)
		c[len(c)-fromEnd] ^= b
		return c
	}
	trailer := len(modsign.Magic)
	for name, c := range map[string]struct {
		b    []byte
		cert *x509.Certificate
		says string
	}{
		"unsigned":                  {module, o.cert, "no appended signature"},
		"empty":                     {nil, o.cert, "no appended signature"},
		"the magic alone":           {[]byte(modsign.Magic), o.cert, "cut off"},
		"a byte after the magic":    {append(bytes.Clone(signed), 0), o.cert, "no appended signature"},
		"another module":            {append([]byte{'x'}, signed[1:]...), o.cert, "does not verify"},
		"one byte more of a module": {append([]byte{'x'}, signed...), o.cert, "does not verify"},
		"another owner":             {signed, other.cert, "does not verify"},
		"another certificate":       {signed, own(t, o.key, 9).cert, "another"},
		"another type":              {at(trailer+10, 3), o.cert, "is of type 1"},
		"with parameters":           {at(trailer+12, 1), o.cert, "has parameters"},
		"size beyond the file":      {at(trailer+4, 0x7f), o.cert, "says it has"},
		"no size":                   {append(bytes.Clone(signed[:len(signed)-trailer-4]), "\x00\x00\x00\x00"+modsign.Magic...), o.cert, "says it has 0 bytes"},
		"a byte of the signature":   {at(trailer+12+1, 1), o.cert, "does not verify"},
		"a byte of its form":        {func() []byte { c := bytes.Clone(signed); c[len(module)+1] ^= 1; return c }(), o.cert, "PKCS#7"},
	} {
		if _, err := modsign.Verify(c.b, c.cert); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := modsign.Verify(module, o.cert); !errors.Is(err, modsign.ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	if _, err := modsign.Sign(module, other, o.cert); err == nil || !strings.Contains(err.Error(), "not for this key") {
		t.Errorf("another's certificate: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	o := ecOwner(t)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.cert.Raw})
	if c, err := modsign.ParseCertificate(block); err != nil || !c.Equal(o.cert) {
		t.Errorf("PEM: %v", err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "two": append(bytes.Clone(block), block...), "a key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: o.cert.Raw}),
	} {
		if _, err := modsign.ParseCertificate(b); err == nil {
			t.Errorf("%s is a certificate", name)
		}
	}
}

// files writes a signed module and what openssl needs to verify it.
func (o owner) files(t *testing.T, signed []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	code, der, err := modsign.Split(signed)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"module.ko": signed, "module": code, "signature.der": der, "cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.cert.Raw}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestOpenSSLVerifies: what we append is what OpenSSL, which Linux's own
// scripts/sign-file signs with, takes for a detached signature.
func TestOpenSSLVerifies(t *testing.T) {
	machinetest.Tools(t, "openssl")
	for name, o := range map[string]owner{"RSA": rsaOwner(t), "ECDSA": ecOwner(t)} {
		signed, err := modsign.Sign(module, o, o.cert)
		if err != nil {
			t.Fatal(err)
		}
		dir := o.files(t, signed)
		verify := func(content string) ([]byte, error) {
			cmd := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signature.der", "-content", content,
				"-certfile", "cert.pem", "-nointern", "-noverify", "-out", os.DevNull)
			cmd.Dir = dir
			return cmd.CombinedOutput()
		}
		if out, err := verify("module"); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		if out, err := verify("cert.pem"); err == nil {
			t.Errorf("%s: openssl verifies anything: %s", name, out)
		}
	}
}

// TestSameAsOpenSSL: with RSA it is byte for byte what scripts/sign-file makes,
// which asks OpenSSL for this.
func TestSameAsOpenSSL(t *testing.T) {
	machinetest.Tools(t, "openssl")
	o := rsaOwner(t)
	signed, err := modsign.Sign(module, o, o.cert)
	if err != nil {
		t.Fatal(err)
	}
	dir := o.files(t, signed)
	key, err := x509.MarshalPKCS8PrivateKey(o.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("openssl", "cms", "-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-md", "sha256", "-outform", "DER",
		"-in", "module", "-signer", "cert.pem", "-inkey", "key.pem", "-out", "theirs.der")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	theirs, err := os.ReadFile(filepath.Join(dir, "theirs.der"))
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := os.ReadFile(filepath.Join(dir, "signature.der")); err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("ours\n%x\ntheirs\n%x (%v)", ours, theirs, err)
	}
}

func FuzzVerify(f *testing.F) {
	o := rsaOwner(f)
	signed, err := modsign.Sign(module, o, o.cert)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add(module)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := modsign.Verify(b, o.cert)
		if err == nil && !bytes.Equal(s.Module, module) {
			t.Fatalf("verified a module nobody signed: %q", s.Module)
		}
	})
}

// TestModinfo: kmod, which loads modules, reads who signed it and how.
func TestModinfo(t *testing.T) {
	machinetest.Tools(t, "modinfo")
	o := rsaOwner(t)
	signed, err := modsign.Sign(vendorstest.Module("fix", "livepatch=Y"), o, o.cert)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fix.ko")
	if err := os.WriteFile(path, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("modinfo", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"sig_id:         PKCS#7", "signer:         patchfit test modules", "sig_key:        07", "sig_hashalgo:   sha256", "livepatch:      Y"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("modinfo does not say %q:\n%s", want, out)
		}
	}
}
