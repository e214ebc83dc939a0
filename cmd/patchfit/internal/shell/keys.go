package shell

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/signing"
)

// LoadKey reads the private key file that a person named.
func LoadKey(path string) (crypto.Signer, error) {
	k, err := keyfile.LoadSigner(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exit.Hint(fmt.Errorf("there is no key file %s", path), "make one: patchfit keygen --output "+path)
	}
	return k, err
}

// OpenSigner opens what a person named to sign statements or policies: a key
// file, pkcs11:…, or SCHEME://KEY.
func OpenSigner(ctx context.Context, ref string) (*signing.Signer, error) {
	s, err := signing.Open(ctx, ref)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !signing.Remote(ref):
		return nil, exit.Hint(fmt.Errorf("there is no key file %s", ref), "make one: patchfit keygen --output "+ref)
	case errors.Is(err, signing.ErrNoProgram):
		return nil, exit.Hint(err, "install the program for this kind of key: docs/signing.md lists where they come from")
	}
	return s, err
}

// OpenLasting is OpenSigner of a key that will be there tomorrow.
func OpenLasting(ctx context.Context, ref string) (*signing.Signer, error) {
	s, err := OpenSigner(ctx, ref)
	if err == nil && s.Certificate != nil {
		return nil, exit.Hint(fmt.Errorf("the key of %s is gone when this command ends", ref), "a trust policy names its identity: --add-identity NAME=SAN with --identity-ca")
	}
	return s, err
}

// ReadCertificate reads a signer's certificate; nil where path is "".
func ReadCertificate(path string) (*attest.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	c, err := attest.ParseCertificatePEM(b)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate from %s: %w", path, err)
	}
	return c, nil
}

// PublicOf returns the public key of a private key file.
func PublicOf(path string) (*attest.PublicKey, error) {
	s, err := keyfile.LoadSigner(path)
	if err != nil {
		return nil, err
	}
	return attest.NewPublicKey(s.Public())
}

// ReadPublic reads a public key, or takes it from a private key file or from
// where else a signer is ([OpenSigner]).
func ReadPublic(ctx context.Context, path string) (*attest.PublicKey, error) {
	if signing.Remote(path) {
		s, err := OpenLasting(ctx, path)
		if err != nil {
			return nil, err
		}
		return s.Key, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	key, err := attest.ParsePublicKeyPEM(b)
	if err == nil {
		return key, nil
	}
	if own, ownErr := PublicOf(path); ownErr == nil {
		return own, nil
	}
	return nil, exit.Hint(fmt.Errorf("reading a public key from %s: %w", path, err), "patchfit keygen writes them, as FILE.pub")
}
