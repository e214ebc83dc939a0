package trust

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
)

// certified are the flags about signers who are names in certificates.
type certified struct {
	identities []string
	issuer     string
	ca         string
}

func (c *certified) flags(cmd *cobra.Command, prefix string) {
	f := cmd.Flags()
	f.StringArrayVar(&c.identities, prefix+"identity", nil, "NAME=SAN: a signer and its name in certificates of --identity-ca, a URI or an email address, valid from now; repeat for each")
	f.StringVar(&c.issuer, "identity-issuer", "", "issuer that these certificates name (default: they name none)")
	f.StringVar(&c.ca, "identity-ca", "", "PEM chain of the authority of these certificates, its root last; taken into the trusted root")
}

// apply takes the authority into the trusted root, and then the identities.
func (c *certified) apply(p *attest.TrustPolicy, now time.Time) error {
	if c.ca == "" {
		if len(c.identities) > 0 {
			return exit.BadUsage(errors.New("an identity has no meaning without its authority"), "name the authority's certificates with --identity-ca")
		}
		return nil
	}
	chain, err := readChain(c.ca)
	if err != nil {
		return err
	}
	top := chain[len(chain)-1]
	raw, err := ledger.WithAuthority(p.TrustedRoot, chain, top.NotBefore, time.Time{})
	if err != nil {
		return err
	}
	p.TrustedRoot = jsontext.Value(raw)
	for _, s := range c.identities {
		name, san, err := shell.Pair(s, "NAME=SAN")
		if err != nil {
			return err
		}
		i := findSigner(p, name)
		if i < 0 {
			i, p.Signers = len(p.Signers), append(p.Signers, attest.Signer{Name: name, Keys: []attest.SignerKey{}})
		}
		p.Signers[i].Identities = append(p.Signers[i].Identities, attest.SignerIdentity{
			SAN: san, Issuer: c.issuer, CA: attest.DigestOf(top.Raw), ValidFrom: now,
		})
	}
	return nil
}

// readChain reads the certificates of an authority.
func readChain(path string) ([]*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the authority's certificates: %w", err)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" || !c.IsCA {
			return nil, fmt.Errorf("%s: PEM block %d is not the certificate of an authority", path, len(chain)+1)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%s has no PEM block of a certificate", path)
	}
	for i, c := range chain { // each by the next, the last by itself
		if err := c.CheckSignatureFrom(chain[min(i+1, len(chain)-1)]); err != nil {
			return nil, exit.Hint(fmt.Errorf("%s: certificate %d is not issued by the one after it: %w", path, i+1, err), "order them from the issuing authority to its root")
		}
	}
	return chain, nil
}
