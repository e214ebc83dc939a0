package signing

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/signing/signingtest"
)

// envelopeBy returns the envelope that ref signs, which it verified.
func envelopeBy(t *testing.T, ref string) (*attest.Envelope, *Signer, error) {
	t.Helper()
	s, err := Open(t.Context(), ref)
	if err != nil {
		return nil, nil, err
	}
	raw, err := attest.SignEnvelope("text/x-test", []byte("x"), s)
	if err != nil {
		return nil, nil, err
	}
	e, err := attest.ParseEnvelope(raw, "text/x-test")
	if err != nil {
		t.Fatal(err)
	}
	return e, s, e.Verify(s.Key)
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	ec, rsa, ed := filepath.Join(dir, "ec"), filepath.Join(dir, "rsa"), filepath.Join(dir, "ed")
	if err := errors.Join(keyfile.CreateECDSA(ec), keyfile.CreateRSA(rsa, 2048), keyfile.CreateEd25519(ed)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{ec, rsa} {
		if _, _, err := envelopeBy(t, path); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(t.Context(), ed); err == nil || !strings.Contains(err.Error(), "Ed25519 keys cannot sign here") {
		t.Errorf("Ed25519: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestKeyService(t *testing.T) {
	keys := signingtest.Box(t)
	for _, name := range []string{"ec", "liar", "other"} {
		if err := keyfile.CreateECDSA(filepath.Join(keys, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(keyfile.CreateRSA(filepath.Join(keys, "rsa"), 3072), keyfile.CreateEd25519(filepath.Join(keys, "ed"))); err != nil {
		t.Fatal(err)
	}
	for name, details := range map[string]string{"ec": "PKIX_ECDSA_P256_SHA_256", "rsa": "PKIX_RSA_PKCS1V15_3072_SHA256"} {
		_, s, err := envelopeBy(t, "box://"+name)
		if err != nil {
			t.Error(err)
		} else if got := s.Key.Details().String(); got != details {
			t.Errorf("%s: key is %s", name, got)
		}
	}
	for ref, says := range map[string]string{
		"box://ed":   "Ed25519 keys cannot sign here",
		"box://none": "no such key",
		"box://liar": "does not sign with the sha256 and the key it names",
	} {
		if _, _, err := envelopeBy(t, ref); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to say %q", ref, err, says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Open(ctx, "box://ec")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := attest.SignEnvelope("text/x-test", []byte("x"), s); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestReferences(t *testing.T) {
	for ref, remote := range map[string]bool{
		"key.pem": false, "/a/b": false, "./pkcs11": false, "a=b": false,
		"pkcs11:token=x;object=y": true, "pkcs11://token=x": true, "awskms://alias/x": true, "x://y": true,
	} {
		if Remote(ref) != remote {
			t.Errorf("Remote(%q) is %v", ref, !remote)
		}
	}
	t.Setenv("PATH", t.TempDir())
	for ref, name := range map[string]string{
		"pkcs11:token=x": "sigstore-kms-pkcs11 is not on the PATH",
		"awskms:///x":    "sigstore-kms-awskms is not on the PATH",
	} {
		if _, err := Open(t.Context(), ref); !errors.Is(err, ErrNoProgram) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// TestNoOtherProgram: a reference is no way to run a program of another name,
// or from another place than the PATH.
func TestNoOtherProgram(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	ran := filepath.Join(dir, "ran")
	script := []byte("#!/bin/sh\ntouch " + ran + "\n")
	if err := os.MkdirAll("sigstore-kms-x", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"evil", "sigstore-kms-evil", "sigstore-kms-x/evil"} {
		if err := os.WriteFile(name, script, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{"x/../evil://k", "/../evil://k", "x/evil://k", "../evil://k", "evil://k", "E://k", "://k", "-x://k", "a b://k"} {
		if _, err := Open(t.Context(), ref); err == nil {
			t.Errorf("%s was opened", ref)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program was run")
	}
}
