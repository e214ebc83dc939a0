package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

const signedSuffix = ".signed.json"

func (a *app) trustCommand() *cobra.Command {
	return group("trust", "make, sign and push the trust policy, with keys that never touch the server",
		a.trustInitCommand(), a.trustEditCommand(), a.trustSignCommand(), a.trustPushCommand(), a.trustShowCommand())
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
			return nil, fmt.Errorf("reading the trust policy %s: %w", path, err)
		}
		payload = f.envelope.Payload
	}
	if f.policy, err = attest.ParseTrustPolicy(payload); err != nil {
		return nil, fmt.Errorf("reading the trust policy %s: %w", path, err)
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
	return replaceFile(path, append(v, '\n'))
}

// replaceFile writes a file, whole or not at all.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (a *app) trustSignCommand() *cobra.Command {
	var key, output string
	cmd := &cobra.Command{
		Use:     "sign FILE --key ROOT.pem",
		Short:   "sign a draft, or add a signature to a signed policy; needs no server",
		Example: "  patchfit trust sign policy.json --key root.pem",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.trustSign(args[0], key, output)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "private key file of a root")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: FILE with "+signedSuffix+", or the signed FILE itself)")
	required(cmd, "key")
	return cmd
}

func (a *app) trustSign(path, keyPath, output string) error {
	f, err := readPolicy(path)
	if err != nil {
		return err
	}
	raw, err := loadKey(keyPath)
	if err != nil {
		return err
	}
	s, err := signature.LoadSigner(raw, crypto.SHA256)
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
	if err := replaceFile(output, envelope); err != nil {
		return fmt.Errorf("writing the signed policy: %w", err)
	}
	_, err = a.showPolicy(output)
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

func (a *app) trustPushCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "push FILE",
		Short:   "have the server take a signed policy (role admin)",
		Example: "  patchfit trust push policy.signed.json",
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.trustPush(cmd.Context(), args[0])
		},
	}
}

func (a *app) trustPush(ctx context.Context, path string) error {
	f, err := readPolicy(path)
	if err != nil {
		return err
	}
	if f.envelope == nil {
		return hinted{fmt.Errorf("%s is a draft", path), "sign it first: patchfit trust sign " + path + " --key ROOT.pem"}
	}
	roots, err := f.policy.Roots.Digest()
	if err != nil {
		return err
	}
	if _, err := attest.OpenTrustPolicy(f.envelope.Raw, roots); err != nil {
		return hinted{err, "add signatures: patchfit trust sign " + path + " --key ROOT.pem"}
	}
	s, err := a.connect("")
	if err != nil {
		return err
	}
	v, err := s.client.PushTrustPolicy(ctx, f.envelope.Raw)
	if err != nil {
		return err
	}
	return a.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "the server took trust policy version %d\nroots %s\n", v.Version, v.Roots)
	})
}

func (a *app) trustShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "show a policy, its roots digest and who signed it",
		Example: "  patchfit trust show policy.signed.json",
		Args:    exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := a.showPolicy(args[0])
			if err != nil {
				return err
			}
			if v.Signed && v.Signatures == 0 {
				return exitCode{exitUnproven, "no signature on this policy is by one of its roots", "if you did not change it, get it again from whoever signed it; a new version may still lack the roots' signatures: patchfit trust sign"}
			}
			return nil
		},
	}
}

// A policyAnswer describes a trust policy file.
type policyAnswer struct {
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
}

func (a *app) showPolicy(path string) (*policyAnswer, error) {
	f, err := readPolicy(path)
	if err != nil {
		return nil, err
	}
	v, err := f.describe()
	if err != nil {
		return nil, err
	}
	return v, a.print(v, func(w io.Writer) { v.text(w) })
}

func (f *policyFile) describe() (*policyAnswer, error) {
	roots, err := f.policy.Roots.Digest()
	if err != nil {
		return nil, err
	}
	v := &policyAnswer{
		SchemaVersion: 1, File: f.path, Version: f.policy.Version, Expires: f.policy.Expires,
		Roots: roots, Threshold: f.policy.Roots.Threshold, Products: f.policy.Products,
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

func (v *policyAnswer) text(w io.Writer) {
	state := "draft, not signed"
	if v.Signed {
		state = fmt.Sprintf("signed by %d of its roots, %d needed", v.Signatures, v.Threshold)
	}
	cells(w, [][]string{
		{"file", v.File},
		{"version", fmt.Sprint(v.Version)},
		{"expires", v.Expires.Format(time.RFC3339)},
		{"roots", string(v.Roots)},
		{"state", state},
		{"signers", strings.Join(v.Signers, ", ")},
	})
	for _, p := range v.Products {
		fmt.Fprintf(w, "product %s in %s\n", p.ID, p.Repository)
		roles := make([]string, 0, len(p.Authorities))
		for role, names := range p.Authorities {
			roles = append(roles, fmt.Sprintf("  %s: %s", role, strings.Join(names, ", ")))
		}
		slices.Sort(roles)
		for _, r := range roles {
			fmt.Fprintln(w, r)
		}
	}
}
