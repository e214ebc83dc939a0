package main

import (
	"crypto/elliptic"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ThalesGroup/crypto11"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/machinetest"
	"github.com/patchfit/patchfit/internal/signing"
)

const (
	userPIN = "271828"
	driver  = "/usr/lib/softhsm/libsofthsm2.so" // Debian's
)

// token makes a token in software with an ECDSA and an RSA key, puts this
// program on the PATH, and returns the token's part of a URI and its query.
func token(t *testing.T) (uri, query string) {
	t.Helper()
	if _, err := os.Stat(driver); err != nil {
		machinetest.LeaveOut(t, "there is no token in software, so no key in a token signs: "+err.Error(), "run scripts/setup, which installs softhsm2")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "softhsm2.conf"), "directories.tokendir = "+filepath.Join(dir, "tokens")+"\n")
	t.Setenv("SOFTHSM2_CONF", filepath.Join(dir, "softhsm2.conf"))
	command(t, "softhsm2-util", "--init-token", "--free", "--label", "release", "--pin", userPIN, "--so-pin", "31415926")
	makeKeys(t)
	write(t, filepath.Join(dir, "pin"), userPIN+"\n")

	command(t, "go", "build", "-o", filepath.Join(dir, "bin", "sigstore-kms-pkcs11"), ".")
	t.Setenv("PATH", filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	return "pkcs11:token=release", "?module-path=" + driver + "&pin-source=file:" + filepath.Join(dir, "pin")
}

func makeKeys(t *testing.T) {
	c, err := crypto11.Configure(&crypto11.Config{Path: driver, TokenLabel: "release", Pin: userPIN})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.GenerateECDSAKeyPairWithLabel([]byte{1}, []byte("ec"), elliptic.P256()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GenerateECDSAKeyPairWithLabel([]byte{2}, []byte("p384"), elliptic.P384()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GenerateRSAKeyPairWithLabel([]byte{3}, []byte("rsa"), 3072); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func TestToken(t *testing.T) {
	uri, query := token(t)
	for ref, details := range map[string]string{
		uri + ";object=ec" + query:  "PKIX_ECDSA_P256_SHA_256",
		uri + ";id=%01" + query:     "PKIX_ECDSA_P256_SHA_256",
		uri + ";object=rsa" + query: "PKIX_RSA_PKCS1V15_3072_SHA256",
	} {
		s, err := signing.Open(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if got := s.Key.Details().String(); got != details {
			t.Errorf("%s: key is %s", ref, got)
		}
		raw, err := attest.SignEnvelope("text/x-test", []byte("signed on a token"), s)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		e, err := attest.ParseEnvelope(raw, "text/x-test")
		if err != nil || e.Verify(s.Key) != nil {
			t.Errorf("%s: the envelope does not verify (%v)", ref, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	uri, query := token(t)
	module := "?module-path=" + driver
	wrong := filepath.Join(t.TempDir(), "pin")
	write(t, wrong, "000000\n")
	for ref, says := range map[string]string{
		uri + query:                                                      "names no key",
		"pkcs11:object=ec" + query:                                       "names no token",
		uri + ";object=none" + query:                                     "was not found",
		"pkcs11:token=other;object=ec" + query:                           "opening the token",
		uri + ";object=p384" + query:                                     "not on P-256",
		uri + ";object=ec":                                               "names no driver",
		uri + ";object=ec" + module + "&pin-value=" + userPIN:            "can be read by others",
		uri + ";object=ec" + module + "&pin-source=file:" + wrong:        "opening the token",
		uri + ";object=ec" + module + "&pin-source=file:/none":           "reading the PIN",
		uri + ";object=ec?module-path=/none.so&pin-source=file:" + wrong: "opening the token",
		"pkcs11:nonsense":                                                "not a PKCS #11 URI",
	} {
		if _, err := signing.Open(t.Context(), ref); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want it to say %q", ref, err, says)
		}
	}
	t.Setenv(envModule, driver)
	t.Setenv(envPIN, userPIN)
	if _, err := signing.Open(t.Context(), uri+";object=ec"); err != nil {
		t.Errorf("driver and PIN from the environment: %v", err)
	}
}
