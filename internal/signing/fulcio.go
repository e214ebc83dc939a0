package signing

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
)

const fulcio = "fulcio:"

// EnvToken holds the OpenID Connect token that proves to a Fulcio who signs; the
// name is cosign's.
const EnvToken = "SIGSTORE_ID_TOKEN"

// openFulcio makes a key that lives as long as this process, and has the Fulcio
// at base certify it as whom the token names.
func openFulcio(ctx context.Context, base string) (*Signer, error) {
	if err := safeURL(base); err != nil {
		return nil, err
	}
	token := strings.TrimSpace(os.Getenv(EnvToken))
	if token == "" {
		return nil, fmt.Errorf("there is no token to prove to %s who signs: set %s to an OpenID Connect token for it", base, EnvToken)
	}
	pair, err := sign.NewEphemeralKeypair(nil) // ECDSA P-256
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := sign.NewFulcio(&sign.FulcioOptions{BaseURL: strings.TrimSuffix(base, "/"), Retries: 2}).
		GetCertificate(ctx, pair, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return nil, fmt.Errorf("asking %s for a certificate: %w", base, err)
	}
	certificate, err := attest.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", base, err)
	}
	s, err := signer(ephemeral{ctx, pair}, fulcio+base)
	if err != nil {
		return nil, err
	}
	if !certificate.SigningKey().Equal(s.Key) {
		return nil, fmt.Errorf("answer of %s is a certificate for another key", base)
	}
	s.Certificate = certificate
	return s, nil
}

// safeURL asks for https, or plain http on this machine: a token that is read on
// the way is somebody's name.
func safeURL(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%.200q is not the URL of a Fulcio", base)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return errors.New("a Fulcio is asked by https, because the token in the request is who signs")
}

// ephemeral is a key pair of sigstore-go, which has another interface for it.
type ephemeral struct {
	ctx  context.Context // sigstore's Signer has no other place for it
	pair sign.Keypair
}

func (e ephemeral) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return e.pair.GetPublicKey(), nil
}

func (e ephemeral) SignMessage(m io.Reader, _ ...signature.SignOption) ([]byte, error) {
	var b bytes.Buffer
	if _, err := b.ReadFrom(m); err != nil {
		return nil, err
	}
	sig, _, err := e.pair.SignData(e.ctx, b.Bytes())
	return sig, err
}
