package verifying

import (
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/verify"
)

// rootFlags say by what a bundle is verified where no trust policy is: by a
// Sigstore trusted root and one key or identity.
type rootFlags struct {
	file     string
	key      string
	identity string
	issuer   string
}

// check refuses flags that do not say whose signature is wanted, or that mix
// the two ways to trust.
func (f *rootFlags) check(v *flags) error {
	const whose = "say whose signature you want: --key FILE, or --certificate-identity ID with --certificate-oidc-issuer URL"
	byIdentity := f.identity != "" || f.issuer != ""
	switch {
	case v.vsa.file != "" && !byIdentity: // --key is the verifier's own then
		return nil
	case f.file == "" && (f.key != "" || byIdentity):
		return exit.BadUsage(errors.New("--trusted-root is missing"), "--key and --certificate-identity go with a Sigstore trusted root; with --trust-policy the policy names the keys")
	case f.file == "":
		return nil
	case v.policy != "" || v.roots != "" || v.product != "":
		return exit.BadUsage(errors.New("--trusted-root goes without --trust-policy, --roots and --product"), "a trust policy has a trusted root in it; take one or the other")
	case f.key != "" && byIdentity:
		return exit.BadUsage(errors.New("--key and --certificate-identity exclude each other"), whose)
	case f.key == "" && (f.identity == "" || f.issuer == ""):
		return exit.BadUsage(errors.New("--key or --certificate-identity with --certificate-oidc-issuer is missing"), whose)
	}
	return nil
}

// A wanted is whose signature counts, and by which root.
type wanted struct {
	root     *root.TrustedRoot
	digest   attest.Digest // of the root's file
	key      crypto.PublicKey
	keyPEM   []byte
	identity string
	issuer   string
}

func (f *rootFlags) read() (*wanted, error) {
	b, err := os.ReadFile(f.file)
	if err != nil {
		return nil, fmt.Errorf("reading the trusted root: %w", err)
	}
	w := &wanted{digest: attest.DigestOf(b), identity: f.identity, issuer: f.issuer}
	if w.root, err = root.NewTrustedRootFromJSON(b); err != nil {
		return nil, exit.With(exit.Unproven, fmt.Sprintf("trusted root %s: %v", f.file, err), "get the current trusted_root.json from whoever runs the log")
	}
	if f.key == "" {
		return w, nil
	}
	if w.keyPEM, err = os.ReadFile(f.key); err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if w.key, err = cryptoutils.UnmarshalPEMToPublicKey(w.keyPEM); err != nil {
		return nil, exit.With(exit.Unproven, fmt.Sprintf("key %s: %v", f.key, err), "name a file with a public key: one PEM block that starts with -----BEGIN PUBLIC KEY-----")
	}
	return w, nil
}

// A RootAnswer is the outcome for every bundle by a Sigstore trusted root.
type RootAnswer struct {
	SchemaVersion int           `json:"schemaVersion"`
	Subject       string        `json:"subject"`
	Digest        attest.Digest `json:"digest"`
	TrustedRoot   attest.Digest `json:"trustedRoot"` // of the file
	Criteria      []string      `json:"criteria"`
	Bundles       []rootResult  `json:"bundles"`
	Proof         *ProofAnswer  `json:"proof,omitzero"` // with --proof
	Verified      bool          `json:"verified"`
}

type rootResult struct {
	Bundle    string        `json:"bundle"` // where it is from
	Verified  bool          `json:"verified"`
	Type      string        `json:"type,omitzero"` // of the statement; none for a bare signature
	Key       attest.Digest `json:"key,omitzero"`
	Identity  string        `json:"identity,omitzero"`
	Issuer    string        `json:"issuer,omitzero"`
	Signed    time.Time     `json:"signed,omitzero"` // the latest time that is proven
	Log       *logResult    `json:"log,omitzero"`
	Reason    string        `json:"reason,omitzero"`
	LogReason string        `json:"logReason,omitzero"` // rekor-v1.md
	Fact      string        `json:"fact,omitzero"`
	Remedy    string        `json:"remedy,omitzero"`
}

// A logResult is where the log has it, of a bundle that is verified.
type logResult struct {
	Rekor      int       `json:"rekor"` // version of the log: 1 or 2
	Kind       string    `json:"kind"`
	Version    string    `json:"version"` // of the kind
	ID         string    `json:"id"`      // hex
	URL        string    `json:"url,omitzero"`
	Index      int64     `json:"index"`     // -1 where nobody vouches for it
	TreeIndex  int64     `json:"treeIndex"` // in the shard; -1 without an inclusion proof
	Integrated time.Time `json:"integrated,omitzero"`
}

func (w *wanted) criteria(digest attest.Digest) []string {
	signer := "signed by the key you named"
	if w.key == nil {
		signer = fmt.Sprintf("signed by %s, as %s told an authority of the trusted root", w.identity, w.issuer)
		if len(w.root.CTLogs()) > 0 {
			signer += ", with a certificate that a certificate log of the trusted root has"
		}
	}
	return []string{
		signer,
		"in a Rekor log of the trusted root, under exactly this signature by this key",
		"seen by that log, or by a timestamp authority of the trusted root, while log key and certificate were valid",
		"about this artifact, " + string(digest),
	}
}

// byRoot verifies bundles about sub by a Sigstore trusted root.
func (a verbs) byRoot(v *flags, sub *subject, bundles []named) error {
	w, err := v.root.read()
	if err != nil {
		return err
	}
	digest := sub.artifact.Manifest
	if digest == "" {
		digest = sub.artifact.File
	}
	c, err := newRootChecker(w, digest)
	if err != nil {
		return err
	}
	answer := &RootAnswer{
		SchemaVersion: 1, Subject: sub.name, Digest: digest, TrustedRoot: w.digest,
		Criteria: w.criteria(digest), Bundles: []rootResult{}, Verified: len(bundles) > 0,
	}
	for _, b := range bundles {
		r := c.one(b)
		answer.Bundles = append(answer.Bundles, r)
		answer.Verified = answer.Verified && r.Verified
	}
	if v.proof.file != "" {
		to, err := v.root.pinned()
		if err != nil {
			return err
		}
		if answer.Proof, err = v.proof.answer(bundles[0].raw, to); err != nil {
			return err
		}
		answer.Verified = answer.Verified && answer.Proof.Verified
	}
	if err := a.Print(answer, func(out io.Writer) { rootText(out, term.Marks(out), answer) }); err != nil {
		return err
	}
	return v.rootOutcome(answer)
}

// rootOutcome turns an answer that was printed into an exit code.
func (v *flags) rootOutcome(answer *RootAnswer) error {
	for _, r := range answer.Bundles {
		if !r.Verified {
			return exit.With(exit.Unproven, r.Reason+": "+r.Fact, r.Remedy)
		}
	}
	asked := v.typ
	if full, ok := shell.TypeNames()[asked]; ok {
		asked = full
	}
	said := func(r rootResult) bool { return asked == "" || r.Type == asked }
	if !slices.ContainsFunc(answer.Bundles, said) {
		text := "NO_ATTESTATION: nobody has said anything about this"
		if asked != "" {
			text = "NO_ATTESTATION: no statement of type " + shell.TypeName(asked)
		}
		return exit.With(exit.NotFound, text, "ask whoever signed for the bundle")
	}
	return answer.Proof.outcome()
}

func rootText(w io.Writer, m term.Marker, a *RootAnswer) {
	fmt.Fprintf(w, "%s\nEvery bundle about it has to be:\n", term.Printable(a.Subject))
	for _, c := range a.Criteria {
		fmt.Fprintf(w, "  - %s\n", term.Printable(c))
	}
	fmt.Fprintf(w, "by trusted root %s\n\n", a.TrustedRoot)
	for _, r := range a.Bundles {
		if r.Verified {
			r.text(w, m)
			continue
		}
		reason := r.Reason
		if r.LogReason != "" {
			reason += " (" + r.LogReason + ")"
		}
		fmt.Fprintf(w, "%s %s  %s: %s\n", m.Cross, term.Printable(r.Bundle), reason, term.Printable(r.Fact))
	}
	if len(a.Bundles) == 0 {
		fmt.Fprintf(w, "%s no bundle\n", m.Cross)
	}
	a.Proof.text(w, m)
	if !a.Verified {
		fmt.Fprintln(w, "NOT verified")
		return
	}
	fmt.Fprintln(w, "verified")
}

func (r *rootResult) text(w io.Writer, m term.Marker) {
	by, what := "key "+r.Key.Short(), "signature"
	if r.Key == "" {
		by = term.Printable(r.Identity + " (" + r.Issuer + ")")
	}
	if r.Type != "" {
		what = term.Printable(shell.TypeName(r.Type))
	}
	l := r.Log
	var at []string
	if l.Index >= 0 {
		at = append(at, fmt.Sprintf("log index %d", l.Index))
	}
	if l.TreeIndex >= 0 && l.TreeIndex != l.Index {
		at = append(at, fmt.Sprintf("index %d of its shard", l.TreeIndex))
	}
	fmt.Fprintf(w, "%s %s\n", m.Tick, term.Printable(r.Bundle))
	fmt.Fprintf(w, "  %s by %s, %s\n", what, by, r.Signed.Format(time.RFC3339))
	fmt.Fprintf(w, "  in a Rekor v%d log (%s %s), %s, %s\n", l.Rekor, l.Kind, l.Version, term.Printable(cmp.Or(l.URL, l.ID)), strings.Join(at, ", "))
}

// remedyFor is what helps against a reason here, where no server of ours is
// involved.
func remedyFor(r verify.Reason) string {
	switch r {
	case verify.NotLogged:
		return "ask the signer for a bundle with the entry of this very signature in a log your trusted root names"
	case verify.UntrustedSigner:
		return "find out whose signature this is; --key or --certificate-identity say whose you want"
	case verify.SubjectMismatch:
		return "verify the file or digest that the bundle was made for"
	case verify.Corrupt:
		return "get the bundle again from whoever made it"
	case verify.Expired:
		return "have it signed and logged again, within the validity of the certificate"
	}
	return r.Remedy()
}
