// Package verifying has the verb that verifies statements offline, by a trust
// policy (checker.go) or by a Sigstore trusted root (root.go, rootcheck.go).
package verifying

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
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
	bundles []string
	policy  string
	roots   string
	product string
	typ     string
	root    rootFlags
	proof   proofFlags
}

func (a verbs) verifyCommand() *cobra.Command {
	var v flags
	cmd := &cobra.Command{
		Use:   "verify FILE|DIGEST|REFERENCE [--bundle FILE...] (--trust-policy FILE | --trusted-root FILE) ...",
		Short: "verify the statements about a file or artifact, by what you pin",
		Example: `  patchfit verify fix.so --bundle fix.sigstore.json --trust-policy policy.signed.json --roots sha256:9b1f…
  patchfit verify fix.so --bundle fix.sigstore.json --trusted-root trusted_root.json --key release.pem.pub`,
		Long: `Verify every statement about a file, or about an artifact by its digest: whose
signature it is, that it is logged and timestamped, what it is about, and
whether its signer has the role for it in the product.

With --bundle and --trust-policy nothing is asked of any network. For a
reference without --bundle the bundles are fetched from the server; without
--trust-policy the server's is taken if its roots are the ones pinned at login.

With --trusted-root any Sigstore bundle is verified, by a key or by the identity
in a certificate: a v0.1 to v0.3 bundle whose log entry is of Rekor v1 or v2, over
a statement or a bare signature. The answer says which log it is in.

With --proof the entry of the one bundle has to be in the log also by a C2SP
tlog-proof, as patchfit audit prove makes them, whose checkpoint is cosigned as
the trust policy's logPolicy, or the tlog-policy in --log-policy, asks.

What needs a host to decide, and revocations, is not asked here: see why.`,
		Args: shell.Exactly("FILE, DIGEST or REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (v.policy == "") != (v.roots == "") {
				return exit.BadUsage(errors.New("--trust-policy and --roots go together"), "the roots' digest is what makes the policy yours: patchfit trust show prints it")
			}
			if err := errors.Join(v.root.check(&v), v.proof.check(&v)); err != nil {
				return err
			}
			return a.verify(cmd.Context(), &v, args[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&v.bundles, "bundle", nil, "Sigstore bundle file; repeat for each")
	f.StringVar(&v.policy, "trust-policy", "", "signed trust policy file")
	f.StringVar(&v.roots, "roots", "", "digest of the roots the policy has to have")
	f.StringVar(&v.product, "product", "", "product id (default: the one in the reference's repository, or the only one)")
	f.StringVar(&v.typ, "type", "", "ask for a statement of this type: a URI or a short name")
	f.StringVar(&v.proof.file, "proof", "", "tlog-proof file of the bundle's log entry")
	f.StringVar(&v.proof.policy, "log-policy", "", "tlog-policy the proof's checkpoint is held to (default: the trust policy's)")
	f.StringVar(&v.root.file, "trusted-root", "", "Sigstore trusted root to go by in place of a trust policy")
	f.StringVar(&v.root.key, "key", "", "public key that has to have signed (with --trusted-root)")
	f.StringVar(&v.root.identity, "certificate-identity", "", "identity in the signer's certificate (with --trusted-root)")
	f.StringVar(&v.root.issuer, "certificate-oidc-issuer", "", "who told the certificate authority that identity (with --trusted-root)")
	return cmd
}

// A subject is what statements have to be about.
type subject struct {
	name     string
	artifact verify.Artifact // Manifest "": known by its file alone
	typ      string          // artifactType; "" where it is not known
}

// A Answer is the outcome for every statement.
type Answer struct {
	SchemaVersion int           `json:"schemaVersion"`
	Subject       string        `json:"subject"`
	Manifest      attest.Digest `json:"manifest,omitzero"`
	File          attest.Digest `json:"file,omitzero"`
	Product       string        `json:"product"`
	PolicyVersion int64         `json:"policyVersion"`
	Criteria      []string      `json:"criteria"`
	Statements    []Result      `json:"statements"`
	Proof         *ProofAnswer  `json:"proof,omitzero"` // with --proof
	Verified      bool          `json:"verified"`
}

type Result struct {
	Bundle   string        `json:"bundle"` // where it is from
	Verified bool          `json:"verified"`
	Type     string        `json:"type,omitzero"`
	Signer   string        `json:"signer,omitzero"` // as the trust policy calls it
	Key      attest.Digest `json:"key,omitzero"`
	Signed   time.Time     `json:"signed,omitzero"`
	LogIndex int64         `json:"logIndex"` // of the statement's leaf; -1 where it was not verified
	Payload  attest.Digest `json:"payload,omitzero"`
	Reason   string        `json:"reason,omitzero"`
	Fact     string        `json:"fact,omitzero"`
	Remedy   string        `json:"remedy,omitzero"`
}

func criteria() []string {
	return []string{
		"signed by a key that the trust policy names",
		"in a log that the trust policy names",
		"timestamped while the key was valid",
		"about this artifact, by its manifest digest and file",
		"by a signer who has the role for it in the product",
	}
}

// A named is a bundle and where it is from.
type named struct {
	name string
	raw  []byte
}

func (a verbs) verify(ctx context.Context, v *flags, what string) error {
	sub, bundles, s, err := a.gather(ctx, v, what)
	if err != nil {
		return err
	}
	if v.root.file != "" {
		return a.byRoot(v, sub, bundles)
	}
	p, err := v.trust(ctx, s)
	if err != nil {
		return err
	}
	product, err := v.inProduct(p, what)
	if err != nil {
		return err
	}
	c, err := NewChecker(p, product)
	if err != nil {
		return err
	}
	answer := c.about(sub).all(bundles)
	if v.proof.file != "" {
		if answer.Proof, err = v.proof.answer(bundles[0].raw, byPolicy(p)); err != nil {
			return err
		}
		answer.Verified = answer.Verified && answer.Proof.Verified
	}
	if err := a.Print(answer, func(w io.Writer) { verifyText(w, term.Marks(w), answer) }); err != nil {
		return err
	}
	return v.outcome(answer)
}

// gather finds the artifact and its bundles. The session is nil where no
// server was asked.
func (a verbs) gather(ctx context.Context, v *flags, what string) (*subject, []named, *shell.Session, error) {
	bundles, err := readBundles(v.bundles)
	if err != nil {
		return nil, nil, nil, err
	}
	sub, err := fileSubject(what)
	if err != nil {
		return nil, nil, nil, err
	}
	if sub != nil {
		if len(bundles) == 0 {
			return nil, nil, nil, exit.BadUsage(errors.New("--bundle is missing"), "a file does not say where its statements are; name them, or verify a reference")
		}
		return sub, bundles, nil, nil
	}
	ref, err := shell.ParseOne(what)
	switch {
	case err != nil && !strings.Contains(what, "@"): // it may well be meant as a file
		return nil, nil, nil, exit.BadUsage(fmt.Errorf("there is no file %.200q here, and %w", what, err), "name a file, a digest, NAME:TAG or NAME@sha256:HEX")
	case err != nil:
		return nil, nil, nil, err
	}
	if len(bundles) > 0 && ref.Digest != "" {
		return &subject{name: what, artifact: verify.Artifact{Manifest: ref.Digest}}, bundles, nil, nil
	}
	return a.fetchSubject(ctx, ref, bundles)
}

func (a verbs) fetchSubject(ctx context.Context, ref shell.Reference, bundles []named) (*subject, []named, *shell.Session, error) {
	s, err := a.Connect(ref.Server)
	if err != nil {
		return nil, nil, nil, err
	}
	found, err := publish.Resolve(ctx, s.Client, ref.Repository, ref.Name())
	if err != nil {
		return nil, nil, nil, err
	}
	sub := &subject{name: ref.Repository + "@" + string(found.Manifest), artifact: verify.Artifact{Manifest: found.Manifest, File: found.File}, typ: found.Type}
	if len(bundles) > 0 {
		return sub, bundles, s, nil
	}
	e, err := s.Client.Evidence(ctx, ref.Repository, found.Manifest)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, raw := range e.Bundles {
		b, err := attest.ParseBundle(raw)
		if err == nil && b.Statement.Subjects[0].Digest != found.Manifest {
			continue // about what the artifact stands on
		}
		bundles = append(bundles, named{"sha256:" + attest.DigestOf(raw).Short(), raw})
	}
	return sub, bundles, s, nil
}

// fileSubject hashes a file; nil where there is none of that name. What is no
// file and a whole digest, is the digest of one.
func fileSubject(path string) (*subject, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		if d, err := attest.ParseDigest(path); err == nil {
			return &subject{name: path, artifact: verify.Artifact{File: d}}, nil
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return &subject{name: path, artifact: verify.Artifact{File: attest.DigestFromSum(sum.Sum(nil))}}, nil
}

func readBundles(paths []string) ([]named, error) {
	var list []named
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading a bundle: %w", err)
		}
		raw, err := io.ReadAll(io.LimitReader(f, attest.MaxBundle+1))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("reading a bundle: %w", err)
		}
		list = append(list, named{path, raw})
	}
	return list, nil
}

// trust returns the trust policy to go by.
func (v *flags) trust(ctx context.Context, s *shell.Session) (*attest.TrustPolicy, error) {
	if v.policy == "" && s == nil {
		return nil, exit.BadUsage(errors.New("--trust-policy is missing"), "name the signed trust policy and, with --roots, what makes it yours")
	}
	if v.policy == "" {
		return s.PinnedPolicy(ctx)
	}
	roots, err := shell.Digest(v.roots)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(v.policy)
	if err != nil {
		return nil, fmt.Errorf("reading the trust policy: %w", err)
	}
	p, err := attest.OpenTrustPolicy(b, roots)
	if err == nil && !time.Now().Before(p.Expires) {
		err = fmt.Errorf("it expired at %s", p.Expires.Format(time.RFC3339))
	}
	if err != nil {
		return nil, exit.With(exit.Unproven, fmt.Sprintf("trust policy %s: %v", v.policy, err), "get the current one, and its roots' digest, from the product's owners")
	}
	return p, nil
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
			return exit.With(exit.Unproven, r.Reason+": "+r.Fact, r.Remedy)
		}
		found = found || wanted == "" || r.Type == wanted
	}
	if !found && wanted != "" {
		return exit.With(exit.NotFound, "NO_ATTESTATION: no statement of type "+shell.TypeName(wanted), verify.NoAttestation.Remedy())
	}
	if !found {
		return exit.With(exit.NotFound, "NO_ATTESTATION: nobody has said anything about this", verify.NoAttestation.Remedy())
	}
	return answer.Proof.outcome()
}

func verifyText(w io.Writer, m term.Marker, v *Answer) {
	fmt.Fprintf(w, "%s\nEvery statement about it has to be:\n", term.Printable(v.Subject))
	for _, c := range v.Criteria {
		fmt.Fprintf(w, "  - %s\n", c)
	}
	fmt.Fprintf(w, "by trust policy version %d, in product %s\n\n", v.PolicyVersion, v.Product)
	for _, r := range v.Statements {
		if r.Verified {
			fmt.Fprintf(w, "%s %s by %s, %s, log index %d\n", m.Tick, shell.TypeName(r.Type), term.Printable(r.Signer), r.Signed.Format(time.RFC3339), r.LogIndex)
			continue
		}
		fmt.Fprintf(w, "%s %s  %s: %s\n", m.Cross, term.Printable(r.Bundle), r.Reason, term.Printable(r.Fact))
	}
	if len(v.Statements) == 0 {
		fmt.Fprintf(w, "%s no statement\n", m.Cross)
	}
	v.Proof.text(w, m)
	if !v.Verified {
		fmt.Fprintln(w, "NOT verified")
		return
	}
	fmt.Fprintln(w, "verified")
}
