package keyfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func at(t *testing.T) string { return filepath.Join(t.TempDir(), "key.pem") }

func TestSigners(t *testing.T) {
	for name, create := range map[string]func(string) error{"ecdsa": CreateECDSA, "ed25519": CreateEd25519, "rsa": createRSA} {
		t.Run(name, func(t *testing.T) {
			path := at(t)
			if err := create(path); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("mode %v, want 0600", info.Mode())
			}
			k, err := LoadSigner(path)
			if err != nil {
				t.Fatal(err)
			}
			switch k.(type) {
			case *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey:
			default:
				t.Errorf("key is a %T", k)
			}
		})
	}
}

func createRSA(path string) error { return CreateRSA(path, 2048) }

func TestRSASizes(t *testing.T) {
	for _, bits := range []int{0, 1024, 2047, 8192} {
		if path := at(t); CreateRSA(path, bits) == nil {
			t.Errorf("made a key of %d bits", bits)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	creators := map[string]func(string) error{
		"ecdsa": CreateECDSA, "ed25519": CreateEd25519, "rsa": createRSA,
		"secret": func(p string) error { return CreateSecret(p, 32) },
		"file":   func(p string) error { return WriteNew(p, []byte("new")) },
	}
	for name, create := range creators {
		path := at(t)
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := create(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v, want fs.ErrExist", name, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
			t.Errorf("%s: file is now %q (%v)", name, b, err)
		}
		left, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(left) != 1 {
			t.Errorf("%s: left %v behind (%v)", name, left, err)
		}
	}
}

func TestReadableByOthers(t *testing.T) {
	path := at(t)
	if err := CreateECDSA(path); err != nil {
		t.Fatal(err)
	}
	secret := at(t)
	if err := CreateSecret(secret, 32); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o660, 0o610, 0o602} {
		if err := errors.Join(os.Chmod(path, mode), os.Chmod(secret, mode)); err != nil {
			t.Fatal(err)
		}
		_, err := LoadSigner(path)
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %v: %v, want a refusal that says what to do", mode, err)
		}
		if _, err := LoadSecret(secret); err == nil {
			t.Errorf("secret of mode %v was read", mode)
		}
	}
	want := "key file " + path + " can be read by others (mode 0644): chmod 600 " + path
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSigner(path); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSigner(path); err != nil {
		t.Errorf("a key only its owner can read was refused: %v", err)
	}
}

func TestSecret(t *testing.T) {
	a, b := at(t), at(t)
	if err := errors.Join(CreateSecret(a, 32), CreateSecret(b, 32)); err != nil {
		t.Fatal(err)
	}
	x, err := LoadSecret(a)
	if err != nil || len(x) != 32 {
		t.Fatalf("%d bytes, %v", len(x), err)
	}
	if y, err := LoadSecret(b); err != nil || bytes.Equal(x, y) {
		t.Errorf("two secrets are the same (%v)", err)
	}
}

func TestLine(t *testing.T) {
	for content, want := range map[string]string{
		"AKIA/x+y=\n": "AKIA/x+y=", "bare": "bare",
		"": "", "\n": "", "two\nlines\n": "", "a b\n": "", "cr\r\n": "", "ümlaut": "",
	} {
		path := at(t)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := LoadLine(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", content, got, err)
		}
		if err != nil && len(content) > 1 && strings.Contains(err.Error(), strings.TrimSpace(content)) {
			t.Errorf("the error shows the secret: %v", err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadLine(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("readable by others: %v", err)
		}
	}
}

func TestNoKeyAtAll(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(small)
	if err != nil {
		t.Fatal(err)
	}
	good := at(t)
	if err := CreateECDSA(good); err != nil {
		t.Fatal(err)
	}
	pemGood, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty":     {},
		"text":      []byte("hello"),
		"garbage":   pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: []byte("x")}),
		"p384":      pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}),
		"rsa 1024":  pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: rsaDER}),
		"type":      pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		"two keys":  append(bytes.Clone(pemGood), pemGood...),
		"very long": append(bytes.Clone(pemGood), bytes.Repeat([]byte("\n"), maxFile)...),
	} {
		path := at(t)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSigner(path); err == nil {
			t.Errorf("%s: read as a key", name)
		}
		if _, err := LoadSecret(path); err == nil {
			t.Errorf("%s: read as a secret", name)
		}
	}
	if _, err := LoadSigner(t.TempDir()); err == nil {
		t.Error("a directory was read as a key")
	}
	if _, err := LoadSigner(at(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v, want fs.ErrNotExist", err)
	}
}
