// Package trust has the verbs that make, sign and push the trust policy
// (docs/spec/trust-policy.md). edit.go changes a policy; what is here reads,
// signs and shows it.
package trust

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// verbs are the commands of this room, in one run of the program.
type verbs struct{ *shell.Shell }

// Commands returns the commands of this room.
func Commands(sh *shell.Shell) []*cobra.Command {
	a := verbs{sh}
	return []*cobra.Command{a.trustCommand()}
}

const signedSuffix = ".signed.json"

func (a verbs) trustCommand() *cobra.Command {
	return shell.Group("trust", "make, sign and push the trust policy, with keys that never touch the server",
		a.initCommand(), a.editCommand(), a.signCommand(), a.pushCommand(), a.showCommand(), a.tufCommand(), a.updateCommand())
}

// A policyFile is a trust policy as a file: a draft, or signed.
type policyFile struct {
	path     string
	policy   *attest.TrustPolicy
	envelope *attest.Envelope // nil for a draft
}

func readPolicy(path string) (*policyFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the trust policy: %w", err)
	}
	f := &policyFile{path: path}
	payload := b
	if bytes.Contains(b, []byte(`"payloadType"`)) {
		if f.envelope, err = attest.ParseEnvelope(b, attest.PolicyPayload); err != nil {
			return nil, exit.Hint(fmt.Errorf("reading the trust policy %s: %w", path, err), "name a draft of patchfit trust init, or what patchfit trust sign wrote")
		}
		payload = f.envelope.Payload
	}
	if f.policy, err = attest.ParseTrustPolicy(payload); err != nil {
		return nil, exit.Hint(fmt.Errorf("reading the trust policy %s: %w", path, err), "name a draft of patchfit trust init, or what patchfit trust sign wrote")
	}
	return f, nil
}

// writeDraft writes a policy for people to look at and to sign.
func writeDraft(path string, p *attest.TrustPolicy) error {
	b, err := strictjson.Canonical(p)
	if err != nil {
		return err
	}
	if _, err := attest.ParseTrustPolicy(b); err != nil {
		return fmt.Errorf("this trust policy would be refused: %w", err)
	}
	v := jsontext.Value(b)
	if err := v.Indent(jsontext.WithIndent("  ")); err != nil {
		return err
	}
	return shell.ReplaceFile(path, append(v, '\n'))
}

func (a verbs) signCommand() *cobra.Command {
	var key, output string
	cmd := &cobra.Command{
		Use:     "sign FILE --key ROOT.pem",
		Short:   "sign a draft, or add a signature to a signed policy; needs no server",
		Example: "  patchfit trust sign policy.json --key root.pem",
		Args:    shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.trustSign(cmd.Context(), args[0], key, output)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "root that signs: a private key file, pkcs11:…, or SCHEME://KEY")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: FILE with "+signedSuffix+", or the signed FILE itself)")
	shell.Required(cmd, "key")
	return cmd
}

func (a verbs) trustSign(ctx context.Context, path, key, output string) error {
	f, err := readPolicy(path)
	if err != nil {
		return err
	}
	s, err := shell.OpenLasting(ctx, key)
	if err != nil {
		return err
	}
	envelope, err := f.sign(s)
	if err != nil {
		return err
	}
	if output == "" {
		output = f.signedPath()
	}
	if err := shell.ReplaceFile(output, envelope); err != nil {
		return fmt.Errorf("writing the signed policy: %w", err)
	}
	_, err = Show(a.Shell, output)
	return err
}

// sign adds a signature: to the envelope there is, or to a new one whose
// payload is the draft in its canonical form.
func (f *policyFile) sign(s signature.Signer) ([]byte, error) {
	if f.envelope != nil {
		return attest.AddSignature(f.envelope.Raw, s)
	}
	payload, err := strictjson.Canonical(f.policy)
	if err != nil {
		return nil, err
	}
	return attest.SignEnvelope(attest.PolicyPayload, payload, s)
}

func (f *policyFile) signedPath() string {
	if f.envelope != nil {
		return f.path
	}
	return strings.TrimSuffix(f.path, ".json") + signedSuffix
}

func (a verbs) pushCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "push FILE",
		Short:   "have the server take a signed policy (role admin)",
		Example: "  patchfit trust push policy.signed.json",
		Args:    shell.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.trustPush(cmd.Context(), args[0])
		},
	}
}

func (a verbs) trustPush(ctx context.Context, path string) error {
	f, err := readPolicy(path)
	if err != nil {
		return err
	}
	if f.envelope == nil {
		return exit.Hint(fmt.Errorf("%s is a draft", path), "sign it first: patchfit trust sign "+path+" --key ROOT.pem")
	}
	roots, err := f.policy.Roots.Digest()
	if err != nil {
		return err
	}
	if _, err := attest.OpenTrustPolicy(f.envelope.Raw, roots); err != nil {
		return exit.Hint(err, "add signatures: patchfit trust sign "+path+" --key ROOT.pem")
	}
	s, err := a.Connect("")
	if err != nil {
		return err
	}
	v, err := s.Client.PushTrustPolicy(ctx, f.envelope.Raw)
	if err != nil {
		return err
	}
	return a.Print(v, func(w io.Writer) {
		fmt.Fprintf(w, "the server took trust policy version %d\nroots %s\n", v.Version, v.Roots)
	})
}

func (a verbs) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "show a policy, its roots digest and who signed it",
		Example: "  patchfit trust show policy.signed.json",
		Args:    shell.Exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := Show(a.Shell, args[0])
			if err != nil {
				return err
			}
			if v.Signed && v.Signatures == 0 {
				return exit.With(exit.Unproven, "no signature on this policy is by one of its roots", "if you did not change it, get it again from whoever signed it; a new version may still lack the roots' signatures: patchfit trust sign")
			}
			return nil
		},
	}
}

// An Answer describes a trust policy file.
type Answer struct {
	SchemaVersion int              `json:"schemaVersion"`
	File          string           `json:"file"`
	Version       int64            `json:"version"`
	Expires       time.Time        `json:"expires"`
	Roots         attest.Digest    `json:"roots"`
	Threshold     int              `json:"threshold"`
	Signed        bool             `json:"signed"`     // it is an envelope, not a draft
	Signatures    int              `json:"signatures"` // by root keys of its own
	Signers       []string         `json:"signers"`
	Products      []attest.Product `json:"products"`
	Journals      []attest.Digest  `json:"journals,omitzero"` // ids of the keys journals are sealed with
	TUF           attest.TUFRoot   `json:"tuf,omitzero"`
}

// Show prints what the trust policy in a file says, and returns it.
func Show(sh *shell.Shell, path string) (*Answer, error) {
	f, err := readPolicy(path)
	if err != nil {
		return nil, err
	}
	v, err := f.describe()
	if err != nil {
		return nil, err
	}
	return v, sh.Print(v, v.text)
}

func (f *policyFile) describe() (*Answer, error) {
	roots, err := f.policy.Roots.Digest()
	if err != nil {
		return nil, err
	}
	v := &Answer{
		SchemaVersion: 1, File: f.path, Version: f.policy.Version, Expires: f.policy.Expires,
		Roots: roots, Threshold: f.policy.Roots.Threshold, Products: f.policy.Products, TUF: f.policy.TUF,
	}
	if v.Journals, err = f.policy.JournalKeys(); err != nil {
		return nil, err
	}
	for _, s := range f.policy.Signers {
		v.Signers = append(v.Signers, s.Name)
	}
	if f.envelope == nil {
		return v, nil
	}
	v.Signed = true
	for _, b64 := range f.policy.Roots.Keys {
		k, err := attest.ParsePublicKey(b64)
		if err != nil {
			return nil, err
		}
		if f.envelope.Verify(k) == nil {
			v.Signatures++
		}
	}
	return v, nil
}

func (v *Answer) text(w io.Writer) {
	state := "draft, not signed"
	if v.Signed {
		state = fmt.Sprintf("signed by %d of its roots, %d needed", v.Signatures, v.Threshold)
	}
	shell.Cells(w, [][]string{
		{"file", v.File},
		{"version", fmt.Sprint(v.Version)},
		{"expires", v.Expires.Format(time.RFC3339)},
		{"roots", string(v.Roots)},
		{"state", state},
		{"signers", strings.Join(v.Signers, ", ")},
	})
	for _, k := range v.Journals {
		fmt.Fprintf(w, "journal key %s\n", k)
	}
	if v.TUF.Version > 0 {
		fmt.Fprintf(w, "tuf root version %d, %s\n", v.TUF.Version, v.TUF.Root)
	}
	for _, p := range v.Products {
		fmt.Fprintf(w, "product %s in %s\n", p.ID, p.Repository)
		if !slices.Equal(p.FitBases, []string{attest.FitEnvironment}) {
			fmt.Fprintf(w, "  fits by: %s\n", strings.Join(p.FitBases, ", "))
		}
		roles := make([]string, 0, len(p.Authorities))
		for role, names := range p.Authorities {
			roles = append(roles, fmt.Sprintf("  %s: %s", role, strings.Join(names, ", ")))
		}
		slices.Sort(roles)
		for _, r := range roles {
			fmt.Fprintln(w, r)
		}
		rebuildsText(w, p)
	}
}
