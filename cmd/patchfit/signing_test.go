package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/signing/signingtest"
)

// TestKeysElsewhere publishes with keys that this program never reads: a real
// program of sigstore's plugin protocol signs, the trust policy included.
func TestKeysElsewhere(t *testing.T) {
	s := newSite(t)
	keys := signingtest.Box(t)
	for name, typ := range map[string]string{"release": "rsa-3072", "liar": "ecdsa-p256", "other": "ecdsa-p256"} {
		ok(t, "keygen", "--type", typ, "-o", filepath.Join(keys, name))
	}
	if err := os.Link("root.pem", filepath.Join(keys, "root")); err != nil {
		t.Fatal(err)
	}
	ok(t, "trust", "edit", "policy.signed.json", "-o", "next.json", "--add-signer", "service=box://release",
		"--authority", repository+":builder=service", "--authority", repository+":base=service", "--authority", repository+":patch=service")
	ok(t, "trust", "sign", "next.json", "--key", "box://root")
	ok(t, append(s.admin, "trust", "push", "next.signed.json")...)

	builds(t)
	s.as(t, "publisher")
	published(t, "builder-image", "builder", "--to", repository, "--key", "box://release")
	published(t, "base", "a.so", "--capture", "a.json", "--to", repository+":a", "--key", "box://release")
	patch := published(t, "patch", "patch.so", "--capture", "patch.json", "--base", "a", "--to", repository+":fix", "--key", "box://release")
	ok(t, "verify", repository+"@"+string(patch.Artifacts[0].Digest))

	fails(t, exit.Failure, "does not sign with the sha256 and the key it names", "publish", "base", "b.so", "--capture", "b.json", "--to", repository, "--key", "box://liar")
	fails(t, exit.Failure, "no such key", "publish", "base", "b.so", "--capture", "b.json", "--to", repository, "--key", "box://none")
	fails(t, exit.Failure, "sigstore-kms-nobodys is not on the PATH", "publish", "base", "b.so", "--capture", "b.json", "--to", repository, "--key", "nobodys://key")
}
