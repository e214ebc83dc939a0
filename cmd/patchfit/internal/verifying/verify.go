// Package verifying has the verb that verifies statements: where everything it
// looks at comes from (sources.go), by a trust policy (checker.go) or by a
// Sigstore trusted root (root.go, rootcheck.go), whether a patch fits a base or a
// host (fit.go), and what is told of it (answer.go).
package verifying

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/verify"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.verifyCommand()}
}

// flags say what is verified, with what, and by whose rules.
type flags struct {
	bundles     []string
	layout      string
	revocations []string
	policy      string
	roots       string
	product     string
	typ         string
	offline     bool
	root        rootFlags
	fits        fitFlags
	vsa         vsaFlags
	proof       proofFlags
}

func (a verbs) verifyCommand() *cobra.Command {
	var v flags
	cmd := &cobra.Command{
		Use:   "verify FILE|BUNDLE|DIGEST|REFERENCE [--offline] [--bundle FILE... | --layout DIR] ...",
		Short: "verify the statements about a file or artifact, by what you pin",
		Example: `  patchfit verify fix.so --bundle fix.sigstore.json --trust-policy policy.signed.json --roots sha256:9b1f…
  patchfit verify demo/greet:fix-1 --offline --layout mirror.tar --roots sha256:9b1f… --base /usr/lib/libgreet.so.1
  patchfit verify demo/greet:fix-1 --vsa fix-1.vsa.json --key verifier.pem --verifier-id https://verifier.example/production
  patchfit verify fix.so --bundle fix.sigstore.json --trusted-root trusted_root.json --key release.pem.pub`,
		Long: `Verify every statement about a file, or about an artifact by its digest, and
tell of each check what it found: form, signature, log entry, witnesses,
timestamp, the key's window, subject, the signer's role in the product, and
revocations as far as they are known. A bundle by itself stands for what it says.

Bundles are named with --bundle, lie beside the file as FILE.sigstore.json or
FILE.ANYTHING.sigstore.json, are in an OCI image layout or a mirror (--layout), or
are fetched from the server. With --offline no server is asked for anything: then
--trust-policy and --roots say whom you trust, for a mirror --roots alone.

With --base or --host-record the patch also has to fit, by the rules of the gate.

With --vsa the outcome is written as a SLSA verification summary too, signed by the
verifier's own key, wherever that is, and logged where a server was asked and its log takes
the key, or the identity in its certificate.

With --trusted-root any Sigstore bundle is verified, by a key or by the identity
in a certificate: a v0.1 to v0.3 bundle whose log entry is of Rekor v1 or v2, over
a statement or a bare signature. The answer says which log it is in.

With --proof the entry of the one bundle has to be in the log also by a C2SP
tlog-proof, as patchfit audit prove makes them, whose checkpoint is cosigned as
the trust policy's logPolicy, or the tlog-policy in --log-policy, asks.

What only a server knows of a host is not asked here: see why.`,
		Args: shell.Exactly("FILE, BUNDLE, DIGEST or REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := v.check(); err != nil {
				return err
			}
			return a.verify(cmd.Context(), &v, args[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&v.bundles, "bundle", nil, "Sigstore bundle file; repeat for each")
	f.StringVar(&v.layout, "layout", "", "OCI image layout or mirror, a directory or tar file, to take bundles from; a mirror has trust policy and revocations too")
	f.BoolVar(&v.offline, "offline", false, "ask no server for anything")
	f.StringArrayVar(&v.revocations, "revocations", nil, "file with a revocation's bundle, or with what GET /v1/revocations answered; repeat for each")
	f.StringVar(&v.fits.base, "base", "", "base the patch has to fit: a file, or its digest")
	f.StringVar(&v.fits.record, "host-record", "", "host record of the host it has to fit: the envelope it signed")
	f.StringVar(&v.fits.key, "host-key", "", "public key of that host")
	f.StringVar(&v.fits.site, "site", "", "site policy to go by (default: records of 24h, bases that are built)")
	f.StringVar(&v.policy, "trust-policy", "", "signed trust policy file")
	f.StringVar(&v.roots, "roots", "", "digest of the roots the policy has to have")
	f.StringVar(&v.product, "product", "", "product id (default: the one in the reference's repository, or the only one)")
	f.StringVar(&v.typ, "type", "", "ask for a statement of this type: a URI or a short name")
	f.StringVar(&v.proof.file, "proof", "", "tlog-proof file of the bundle's log entry")
	f.StringVar(&v.proof.policy, "log-policy", "", "tlog-policy the proof's checkpoint is held to (default: the trust policy's)")
	f.StringVar(&v.root.file, "trusted-root", "", "Sigstore trusted root to go by in place of a trust policy")
	f.StringVar(&v.vsa.file, "vsa", "", "write a SLSA verification summary to this file, signed with --key for --verifier-id")
	f.StringVar(&v.vsa.verifier, "verifier-id", "", "URI of the verifier (with --vsa)")
	f.StringVar(&v.vsa.resource, "resource-uri", "", "what was verified, as a URI (with --vsa; default: pkg:oci/…)")
	f.StringVar(&v.root.key, "key", "", "with --trusted-root the public key that has to have signed; with --vsa the verifier's key: a private key file, pkcs11:…, SCHEME://KEY or fulcio:URL")
	f.StringVar(&v.vsa.certificate, "certificate", "", "PEM file with the certificate of the verifier's key (with --vsa)")
	f.StringVar(&v.root.identity, "certificate-identity", "", "identity in the signer's certificate (with --trusted-root)")
	f.StringVar(&v.root.issuer, "certificate-oidc-issuer", "", "who told the certificate authority that identity (with --trusted-root)")
	return cmd
}

// check refuses flags that do not go together.
func (v *flags) check() error {
	switch {
	case (v.policy == "") != (v.roots == "") && (v.roots == "" || v.layout == ""):
		return exit.BadUsage(errors.New("--trust-policy and --roots go together"), "the roots' digest is what makes the policy yours: patchfit trust show prints it")
	case v.layout != "" && len(v.bundles) > 0:
		return exit.BadUsage(errors.New("--layout and --bundle exclude each other"), "take all bundles from one place")
	case v.fits.base != "" && digestOfBase(v.fits.base) == "":
		return exit.With(exit.Failure, "--base "+v.fits.base+" is no file that can be read, and no digest", "check the path")
	}
	if err := v.fits.check(v); err != nil {
		return err
	}
	if err := v.vsa.check(v); err != nil {
		return err
	}
	return errors.Join(v.root.check(v), v.proof.check(v))
}

func (a verbs) verify(ctx context.Context, v *flags, what string) error {
	s, err := a.gather(ctx, v, what)
	if err != nil {
		return err
	}
	defer s.close()
	if v.root.file != "" {
		return a.byRoot(v, s.sub, s.bundles)
	}
	answer, err := v.answer(ctx, s, what)
	if err != nil {
		return err
	}
	if err := a.Print(answer, func(w io.Writer) { verifyText(w, term.Marks(w), answer) }); err != nil {
		return err
	}
	return v.outcome(answer)
}

// answer asks everything that is asked.
func (v *flags) answer(ctx context.Context, s *source, what string) (*Answer, error) {
	p, envelope, err := v.trust(ctx, s)
	if err != nil {
		return nil, err
	}
	product, err := v.inProduct(p, what)
	if err != nil {
		return nil, err
	}
	c, err := NewChecker(p, product)
	if err != nil {
		return nil, err
	}
	if c, err = v.withRevocations(ctx, c, s, product); err != nil {
		return nil, err
	}
	c = c.about(s.sub)
	answer := c.all(s.bundles)
	answer.Offline = s.session == nil
	if v.fits.asked() {
		if answer.Fit, err = v.fit(ctx, c, s); err != nil {
			return nil, err
		}
		answer.Verified = answer.Verified && answer.Fit.Allow
	}
	if v.proof.file != "" {
		if answer.Proof, err = v.proof.answer(s.bundles[0].raw, byPolicy(p)); err != nil {
			return nil, err
		}
		answer.Verified = answer.Verified && answer.Proof.Verified
	}
	if v.vsa.file != "" {
		answer.VSA, err = v.summarize(ctx, c, s, answer, envelope)
	}
	return answer, err
}

// inProduct returns the id of the product whose roles count.
func (v *flags) inProduct(p *attest.TrustPolicy, what string) (string, error) {
	ref, _ := shell.ParseReference(what)
	for _, product := range p.Products {
		if product.ID == v.product || v.product == "" && (product.Repository == ref.Repository || len(p.Products) == 1) {
			return product.ID, nil
		}
	}
	if v.product != "" {
		return "", exit.With(exit.NotFound, fmt.Sprintf("the trust policy has no product %s", v.product), "")
	}
	return "", exit.BadUsage(errors.New("--product is missing"), "the trust policy has several products: name the one this belongs to")
}

// outcome turns an answer that was printed into an exit code. Nothing verified
// is never success.
func (v *flags) outcome(answer *Answer) error {
	wanted := v.typ
	if full, ok := shell.TypeNames()[wanted]; ok {
		wanted = full
	}
	found := false
	for _, r := range answer.Statements {
		if !r.Verified {
			return exit.With(exit.ForReason(verify.Reason(r.Reason)), r.Reason+": "+r.Fact, r.Remedy)
		}
		found = found || wanted == "" || r.Type == wanted
	}
	if !found && wanted != "" {
		return exit.With(exit.NotFound, "NO_ATTESTATION: no statement of type "+shell.TypeName(wanted), verify.NoAttestation.Remedy())
	}
	if !found {
		return exit.With(exit.NotFound, "NO_ATTESTATION: nobody has said anything about this", verify.NoAttestation.Remedy())
	}
	if answer.Fit != nil {
		if err := answer.Fit.outcome(); err != nil {
			return err
		}
	}
	return answer.Proof.outcome()
}
