// Package signing opens what signs statements and trust policies, by the
// reference a person gives: a key file, a PKCS #11 URI (RFC 7512), or the key
// of a key service as sigstore names them, SCHEME://KEY. Or fulcio:URL, which is a
// fresh key that a Fulcio certifies for whom a token names.
//
// Only files and fresh keys are in this process. Everything else is a program of the
// person's choice, sigstore-kms-SCHEME on the PATH, that speaks sigstore's
// plugin protocol; cosign runs the same ones. So no driver of a device and no
// vendor's SDK is linked here, and the programs here stay static. What a
// program signed is checked before it is used (attest.SignEnvelope).
// docs/signing.md.
package signing

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/keyfile"
)

// ErrNoProgram means that there is no program for a reference's scheme.
var ErrNoProgram = errors.New("no program for this kind of key")

// programPrefix is what the names of programs begin with, as cosign has it.
const programPrefix = "sigstore-kms-"

// A Signer signs, and knows its key.
type Signer struct {
	signature.Signer
	Key *attest.PublicKey
	// Certificate names whose key it is, where whoever certified it is asked each
	// time (fulcio:URL); nil otherwise.
	Certificate *attest.Certificate
}

// Open opens the signer that ref names. ctx ends the programs that it runs,
// now and for each signature.
func Open(ctx context.Context, ref string) (*Signer, error) {
	if base, ok := strings.CutPrefix(ref, fulcio); ok {
		return openFulcio(ctx, base)
	}
	if Remote(ref) {
		return openRemote(ctx, ref)
	}
	k, err := keyfile.LoadSigner(ref)
	if err != nil {
		return nil, err
	}
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", ref, err)
	}
	return signer(s, ref)
}

func signer(s signature.Signer, ref string) (*Signer, error) {
	pub, err := s.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its public key: %w", ref, err)
	}
	key, err := attest.NewPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", ref, err)
	}
	return &Signer{Signer: s, Key: key}, nil
}

const pkcs11 = "pkcs11:"

// Remote reports whether ref names something else than a file.
func Remote(ref string) bool {
	return strings.HasPrefix(ref, pkcs11) || strings.HasPrefix(ref, fulcio) || strings.Contains(ref, "://")
}

// scheme is part of a program's name: no path, nothing hidden.
var scheme = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func openRemote(ctx context.Context, ref string) (*Signer, error) {
	if rest, ok := strings.CutPrefix(ref, pkcs11); ok { // a URI of RFC 7512 has no slashes; sigstore's form has
		ref = pkcs11 + "//" + strings.TrimPrefix(rest, "//")
	}
	name, _, _ := strings.Cut(ref, "://")
	if !scheme.MatchString(name) {
		return nil, fmt.Errorf("%.80q is not a scheme of a key: lower-case letters, digits and hyphens", name)
	}
	service, err := kms.Get(ctx, ref, crypto.SHA256)
	if missing := new(kms.ProviderNotFoundError); errors.As(err, &missing) {
		return nil, fmt.Errorf("%w: %s%s is not on the PATH", ErrNoProgram, programPrefix, name)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the key %s: %w", ref, err)
	}
	public, err := service.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("asking %s%s for the public key: %w", programPrefix, name, err)
	}
	return signer(remote{ctx, service, public}, ref)
}

// remote is a key somewhere else. It asks for the public key once.
type remote struct {
	ctx     context.Context // sigstore's Signer has no other place for it
	service kms.SignerVerifier
	public  crypto.PublicKey
}

func (r remote) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return r.public, nil
}

func (r remote) SignMessage(m io.Reader, o ...signature.SignOption) ([]byte, error) {
	return r.service.SignMessage(m, append(o, options.WithContext(r.ctx))...)
}
