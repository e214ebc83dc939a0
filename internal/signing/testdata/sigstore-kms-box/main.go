// Command sigstore-kms-box is a key service for tests: its keys are files in the
// directory $BOX, and it speaks sigstore's plugin protocol.
package main

import (
	"context"
	"crypto"
	"errors"
	"os"
	"path/filepath"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

// box is one key; "liar" signs with another key than it names.
type box struct {
	signature.SignerVerifier
	names crypto.PublicKey
}

func main() {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		handler.WriteErrorResponse(os.Stdout, err)
		return
	}
	b, err := open(args.InitOptions.KeyResourceID, args.InitOptions.HashFunc)
	if err != nil {
		handler.WriteErrorResponse(os.Stdout, err)
		return
	}
	_, _ = handler.Dispatch(os.Stdout, os.Stdin, args, b)
}

func open(name string, hash crypto.Hash) (*box, error) {
	if name != filepath.Base(name) {
		return nil, errors.New("no such key")
	}
	names, err := key(name)
	if err != nil {
		return nil, err
	}
	signs := names
	if name == "liar" {
		if signs, err = key("other"); err != nil {
			return nil, err
		}
	}
	s, err := signature.LoadSignerVerifier(signs, hash)
	return &box{s, names.Public()}, err
}

func key(name string) (crypto.Signer, error) {
	b, err := os.ReadFile(filepath.Join(os.Getenv("BOX"), name))
	if err != nil {
		return nil, errors.New("no such key")
	}
	k, err := cryptoutils.UnmarshalPEMToPrivateKey(b, cryptoutils.SkipPassword)
	if err != nil {
		return nil, err
	}
	return k.(crypto.Signer), nil
}

func (b *box) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) { return b.names, nil }

var errNone = errors.New("a box makes no keys")

func (*box) CreateKey(context.Context, string) (crypto.PublicKey, error) { return nil, errNone }
func (*box) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errNone
}
func (*box) SupportedAlgorithms() []string { return nil }
func (*box) DefaultAlgorithm() string      { return "" }
