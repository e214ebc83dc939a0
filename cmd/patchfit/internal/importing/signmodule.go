package importing

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/modsign"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
)

// SignedModule is the answer of sign-module.
type SignedModule struct {
	SchemaVersion int           `json:"schemaVersion"`
	Path          string        `json:"path"`
	File          attest.Digest `json:"file"`     // as it is now
	Unsigned      attest.Digest `json:"unsigned"` // without the appended signature
	Signer        string        `json:"signer"`   // the certificate's subject
	Certificate   attest.Digest `json:"certificate"`
}

type signFlags struct {
	key, cert, output string
	replace           bool
}

func (a verbs) signModuleCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign-module FILE --key FILE --cert FILE",
		Short: "sign a kernel module, as hosts with Secure Boot ask",
		Example: `  patchfit sign-module fix.ko --key mok.pem --cert mok.crt
  patchfit sign-module fix.ko --key 'pkcs11:token=mok;object=modules' --cert mok.crt --output fix.signed.ko`,
		Long: `Append a signature to a kernel module, in the form scripts/sign-file of Linux makes:
PKCS#7, detached, over SHA-256. --key is an RSA or ECDSA key as everywhere here: a file,
pkcs11:…, or SCHEME://KEY; --cert is its certificate, which the hosts' kernels have to
know (with Secure Boot: enrolled as a machine owner's key, with mokutil --import).

Sign after the build and before publish: statements name the digests of the file and
of the file without the signature, and whoever rebuilds the module compares the second.
With an RSA key the same module gives the same file. A module that is signed already is
refused; --replace takes the old signature away first.`,
		Args: shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.signModule(cmd.Context(), args[0], &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.key, "key", "", "what signs: a private key file, pkcs11:… or SCHEME://KEY")
	fl.StringVar(&f.cert, "cert", "", "file with the key's X.509 certificate, PEM or DER")
	fl.StringVarP(&f.output, "output", "o", "", "file to write (default: FILE itself)")
	fl.BoolVar(&f.replace, "replace", false, "take an appended signature away first")
	shell.Required(cmd, "key", "cert")
	return cmd
}

func (a verbs) signModule(ctx context.Context, path string, f *signFlags) error {
	module, err := readModule(path)
	if err != nil {
		return err
	}
	switch code, _, err := modsign.Split(module); {
	case err == nil && f.replace:
		module = code
	case err == nil:
		return exit.Hint(fmt.Errorf("%s is signed already", path), "to sign it with this key instead: --replace")
	case !errors.Is(err, modsign.ErrUnsigned):
		return fmt.Errorf("%s: %w", path, err)
	}
	cert, err := readCertificate(f.cert, "make a key and a certificate for modules: openssl req -new -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=modules/ -keyout mok.pem -out mok.crt")
	if err != nil {
		return err
	}
	signer, err := shell.OpenLasting(ctx, f.key)
	if err != nil {
		return err
	}
	signed, err := modsign.Sign(module, signer, cert)
	if err != nil {
		return exit.Hint(fmt.Errorf("signing %s: %w", path, err), "the certificate has to be of the key, and the file an unsigned module")
	}
	out := cmp.Or(f.output, path)
	if err := shell.ReplaceFile(out, signed); err != nil {
		return fmt.Errorf("writing the signed module: %w", err)
	}
	v := SignedModule{1, out, attest.DigestOf(signed), attest.DigestOf(module), cert.Subject.String(), attest.DigestOf(cert.Raw)}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "signed %s by %s\n  file      %s\n  unsigned  %s\n", v.Path, v.Signer, v.File, v.Unsigned)
	})
}

func readModule(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > modsign.MaxModule {
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, modsign.MaxModule)
	}
	b, err := os.ReadFile(path)
	if err == nil && len(b) < 4 || err == nil && string(b[:4]) != "\x7fELF" {
		return nil, exit.Hint(fmt.Errorf("%s is no kernel module: it does not begin as an ELF file does", path), "a compressed module is unpacked first: xz -d, zstd -d")
	}
	return b, err
}

// readCertificate reads a certificate; hint is what to do where it is none.
func readCertificate(path, hint string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	cert, err := modsign.ParseCertificate(b)
	if err != nil {
		return nil, exit.Hint(fmt.Errorf("reading a certificate from %s: %w", path, err), hint)
	}
	return cert, nil
}
