package verifying

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/signing"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger/client"
)

// vsaFlags ask for a verification summary. The key is that of --key.
type vsaFlags struct {
	file        string
	verifier    string
	resource    string
	certificate string // of the key, a file; "" with a bare key
}

func (f *vsaFlags) check(v *flags) error {
	switch {
	case f.file == "" && (f.verifier != "" || f.resource != "" || f.certificate != ""):
		return exit.BadUsage(errors.New("--vsa is missing"), "--verifier-id, --resource-uri and --certificate are for a verification summary")
	case f.file == "":
		return nil
	case v.root.file != "":
		return exit.BadUsage(errors.New("--vsa goes with a trust policy"), "a Sigstore trusted root says nothing of who may build what")
	case v.root.key == "" || f.verifier == "":
		return exit.BadUsage(errors.New("--key or --verifier-id is missing"), "a verification summary is signed by its verifier's key, and names the verifier by a URI")
	}
	return nil
}

// A Summary is a verification summary that was written.
type Summary struct {
	File     string        `json:"file"`
	Payload  attest.Digest `json:"payload"` // of the statement's bytes
	Key      attest.Digest `json:"key"`
	Identity string        `json:"identity,omitzero"` // in the key's certificate
	Verifier string        `json:"verifier"`
	Resource string        `json:"resource"`
	Result   string        `json:"result"`
	Levels   []string      `json:"levels"`
	Logged   bool          `json:"logged"`
	Bundle   string        `json:"bundle,omitzero"`
	Unlogged string        `json:"unlogged,omitzero"` // why not, where a server was asked
}

func (s *Summary) text(w io.Writer) {
	fmt.Fprintf(w, "verification summary %s: %s, %s\n", term.Printable(s.File), s.Result, strings.Join(s.Levels, " "))
	fmt.Fprintf(w, "    by %s, key %s, about %s\n", term.Printable(s.Verifier), s.Key.Short(), term.Printable(s.Resource))
	if s.Identity != "" {
		fmt.Fprintf(w, "    as %s, by the key's certificate\n", term.Printable(s.Identity))
	}
	switch {
	case s.Logged:
		fmt.Fprintf(w, "    logged: %s\n", term.Printable(s.Bundle))
	case s.Unlogged != "":
		fmt.Fprintf(w, "    not logged: %s\n", term.Printable(s.Unlogged))
	default:
		fmt.Fprintln(w, "    not logged: no server was asked")
	}
}

// summarize writes what answer says as a verification summary. Without knowledge
// of the revocations there is none: whoever reads it cannot ask for them.
func (v *flags) summarize(ctx context.Context, c *Checker, s *source, answer *Answer, policy attest.Digest) (*Summary, error) {
	if c.revoked == nil {
		return nil, exit.BadUsage(errors.New("nothing is known of revocations here"), "a verification summary cannot say whether what it is about is revoked: name --revocations FILE, or a mirror")
	}
	subjects := subjectsOf(answer)
	if len(subjects) == 0 {
		return nil, exit.BadUsage(errors.New("there is nothing the verification summary could be about"), "verify an artifact or a file")
	}
	signer, err := v.summarizer(ctx, s)
	if err != nil {
		return nil, err
	}
	predicate := v.predicate(c, s, answer, policy)
	envelope, err := attest.SignSummary(predicate, subjects, signer)
	if err != nil {
		return nil, err
	}
	if err := shell.ReplaceFile(v.vsa.file, append(envelope, '\n')); err != nil {
		return nil, fmt.Errorf("writing the verification summary: %w", err)
	}
	e, err := attest.ParseEnvelope(envelope, attest.PayloadType)
	if err != nil {
		return nil, err
	}
	out := &Summary{
		File: v.vsa.file, Payload: attest.DigestOf(e.Payload), Key: signer.Key.ID(), Verifier: v.vsa.verifier, Resource: predicate.ResourceURI,
		Result: predicate.Result, Levels: predicate.Levels,
	}
	if c := signer.Certificate; c != nil {
		out.Identity = c.SAN()
	}
	if s.session != nil {
		out.log(ctx, s.session, envelope, credential(signer))
	}
	if !out.Logged && passing(v.root.key) {
		return nil, exit.With(exit.Failure, "the verification summary is not logged: "+out.Unlogged, "its key is gone now: have the trust policy name the identity "+out.Identity+", or sign with a key that stays")
	}
	return out, nil
}

// summarizer opens the verifier's key, wherever it is, with its certificate where
// there is one. A key that is gone when this command ends is of use only with a
// log that keeps its certificate.
func (v *flags) summarizer(ctx context.Context, s *source) (*signing.Signer, error) {
	if passing(v.root.key) && s.session == nil {
		return nil, exit.BadUsage(errors.New("the key of "+v.root.key+" is gone when this command ends"), "its certificate is kept by a log alone: verify through a server, or sign with a key that stays")
	}
	signer, err := shell.OpenSigner(ctx, v.root.key)
	if err != nil {
		return nil, err
	}
	certificate, err := shell.ReadCertificate(v.vsa.certificate)
	if err != nil || certificate == nil {
		return signer, err
	}
	if !certificate.SigningKey().Equal(signer.Key) {
		return nil, exit.BadUsage(fmt.Errorf("certificate of %q is for key %s, the verifier's key is %s", certificate.SAN(), certificate.SigningKey().ID().Short(), signer.Key.ID().Short()), "name the certificate of --key")
	}
	signer.Certificate = certificate
	return signer, nil
}

// passing reports whether a key is made for one run of the program.
func passing(key string) bool { return strings.HasPrefix(key, "fulcio:") }

// credential is what stands in the log for who signed.
func credential(s *signing.Signer) attest.Credential {
	if s.Certificate != nil {
		return s.Certificate
	}
	return s.Key
}

// subjectsOf returns what was verified: the manifest first, then its file.
func subjectsOf(a *Answer) (all []attest.Subject) {
	for _, d := range []attest.Digest{a.Manifest, a.File} {
		if d != "" {
			all = append(all, attest.Subject{Digest: d})
		}
	}
	return all
}

func (v *flags) predicate(c *Checker, s *source, answer *Answer, policy attest.Digest) attest.Summary {
	p := attest.Summary{
		Verifier: attest.SummaryVerifier{ID: v.vsa.verifier}, TimeVerified: time.Now(), ResourceURI: v.vsa.resource,
		Policy: attest.ResourceDescriptor{Name: fmt.Sprintf("trust policy version %d", answer.PolicyVersion), Digest: sha256Of(policy)},
		Inputs: []attest.ResourceDescriptor{}, Result: attest.SummaryFailed, Levels: []string{attest.LevelFailed},
	}
	if p.ResourceURI == "" {
		registry := ""
		if s.session != nil {
			registry = config.Address(s.session.Client.Server())
		}
		repository := s.sub.repository
		if product, ok := c.trust.Product(c.product); ok {
			repository = cmp.Or(repository, product.Repository)
		}
		p.ResourceURI = attest.OCIResource(registry, repository, cmp.Or(answer.Manifest, answer.File))
	}
	types := map[string]bool{}
	for _, r := range answer.Statements {
		if r.Verified {
			types[r.Type] = true
			p.Inputs = append(p.Inputs, attest.ResourceDescriptor{Name: r.Type, Digest: sha256Of(r.Payload)})
		}
	}
	if !answer.Verified || v.outcome(answer) != nil {
		return p
	}
	p.Result, p.Levels = attest.SummaryPassed, []string{attest.LevelEvidence}
	if types[attest.TypeProvenance] {
		p.Levels = append(p.Levels, attest.LevelBuild1)
	}
	if answer.Fit != nil {
		p.Levels = append(p.Levels, attest.FitLevels(answer.Fit.Basis)[0])
	}
	slices.Sort(p.Levels)
	return p
}

func sha256Of(d attest.Digest) map[string]string { return map[string]string{"sha256": d.Hex()} }

// log has the server's log take the summary. A log that refuses the key, because
// no trust policy names it, is no failure: the summary is what it is.
func (s *Summary) log(ctx context.Context, session *shell.Session, envelope []byte, by attest.Credential) {
	log, err := client.New(session.Client.Server(), session.Client.HTTP())
	if err != nil {
		s.Unlogged = err.Error()
		return
	}
	bundle, err := log.Bundle(ctx, envelope, by)
	if err != nil {
		s.Unlogged = err.Error()
		return
	}
	path := strings.TrimSuffix(s.File, filepath.Ext(s.File)) + ".sigstore.json"
	if err := shell.ReplaceFile(path, bundle); err != nil {
		s.Unlogged = err.Error()
		return
	}
	s.Logged, s.Bundle = true, path
}
