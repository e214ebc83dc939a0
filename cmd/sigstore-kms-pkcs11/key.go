package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/ThalesGroup/crypto11"
	"github.com/sigstore/sigstore/pkg/signature"
)

// A key is one key pair on a token. It signs and says what it is; making keys
// is for the tools of the token.
type key struct {
	token  *crypto11.Context
	signer crypto.Signer
	hash   crypto.Hash
}

func open(p *place, hash crypto.Hash) (*key, error) {
	token, err := crypto11.Configure(&p.config)
	if err != nil {
		return nil, fmt.Errorf("opening the token: %w", err)
	}
	signer, err := token.FindKeyPair(p.id, p.label)
	if err == nil && signer == nil {
		err = errors.New("there is no such key pair on the token")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("finding the key: %w", err), token.Close())
	}
	return &key{token, signer, hash}, nil
}

// close logs out. What was signed is signed, whatever it says.
func (k *key) close() { _ = k.token.Close() }

func (k *key) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return k.signer.Public(), nil
}

// SignMessage signs with ECDSA or, with RSA keys, PKCS #1 v1.5.
func (k *key) SignMessage(message io.Reader, _ ...signature.SignOption) ([]byte, error) {
	digest, err := k.digest(message)
	if err != nil {
		return nil, err
	}
	return k.signer.Sign(rand.Reader, digest, k.hash)
}

func (k *key) digest(message io.Reader) ([]byte, error) {
	if k.hash != crypto.SHA256 {
		return nil, fmt.Errorf("%v is not sha256", k.hash)
	}
	h := k.hash.New()
	_, err := io.Copy(h, message)
	return h.Sum(nil), err
}

func (k *key) VerifySignature(sig, message io.Reader, _ ...signature.VerifyOption) error {
	digest, err := k.digest(message)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(sig)
	if err != nil {
		return err
	}
	switch pub := k.signer.Public().(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(pub, digest, b) {
			return nil
		}
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(pub, k.hash, digest, b) == nil {
			return nil
		}
	}
	return errors.New("signature does not verify")
}

var errNotHere = errors.New("keys are made with the tools of the token, as pkcs11-tool")

func (k *key) CreateKey(context.Context, string) (crypto.PublicKey, error) { return nil, errNotHere }

func (k *key) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return k.signer, k.hash, nil
}

func (k *key) SupportedAlgorithms() []string { return nil }
func (k *key) DefaultAlgorithm() string      { return "" }
