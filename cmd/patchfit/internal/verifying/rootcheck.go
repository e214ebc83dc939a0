package verifying

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/rekorv1"
	"github.com/patchfit/patchfit/verify"
)

// A rootChecker verifies Sigstore bundles about one digest. sigstore-go asks
// everything of every bundle; of one in a Rekor v1 log rekorv1 asks first
// whether the entry is this signature's, so that no entry reaches sigstore-go
// that was not read with a limit.
type rootChecker struct {
	*wanted
	subject  attest.Digest
	logs     *rekorv1.Verifier
	sigstore *sigstore.Verifier
	material root.TrustedMaterial
	keyID    attest.Digest
}

func newRootChecker(w *wanted, subject attest.Digest) (*rootChecker, error) {
	c := &rootChecker{wanted: w, subject: subject, logs: rekorv1.New(w.root), material: w.root}
	if w.key != nil {
		if err := c.trustKey(); err != nil {
			return nil, err
		}
	}
	options := []sigstore.VerifierOption{sigstore.WithTransparencyLog(1), sigstore.WithObserverTimestamps(1), sigstore.WithoutStatementPredicate()}
	if w.key == nil && len(w.root.CTLogs()) > 0 {
		options = append(options, sigstore.WithSignedCertificateTimestamps(1))
	}
	var err error
	c.sigstore, err = sigstore.NewVerifier(c.material, options...)
	return c, err
}

// trustKey makes the one key the answer to every hint, which nobody signed.
func (c *rootChecker) trustKey() error {
	v, err := signature.LoadVerifier(c.key, crypto.SHA256)
	if err != nil {
		return exit.With(exit.Unproven, fmt.Sprintf("the key: %v", err), "name an ECDSA, RSA or Ed25519 public key")
	}
	der, err := x509.MarshalPKIXPublicKey(c.key)
	if err != nil {
		return fmt.Errorf("encoding the key: %w", err)
	}
	c.keyID = attest.DigestOf(der)
	always := root.NewExpiringKey(v, time.Time{}, time.Time{})
	c.material = root.TrustedMaterialCollection{c.root, root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return always, nil })}
	return nil
}

func (c *rootChecker) one(b named) rootResult {
	r, err := c.prove(b.raw)
	if err == nil {
		r.Bundle, r.Verified = b.name, true
		return *r
	}
	failed := rootResult{Bundle: b.name}
	var of *rekorv1.Refusal
	if errors.As(err, &of) {
		failed.LogReason = string(of.Reason)
		err = unproven(reasonOf(of.Reason, c.key != nil), "%s", of.Fact)
	}
	var refusal *verify.Refusal
	if !errors.As(err, &refusal) {
		refusal = unproven(verify.Corrupt, "%v", err)
	}
	failed.Reason, failed.Fact, failed.Remedy = string(refusal.Reason), refusal.Fact, refusal.Remedy
	return failed
}

func unproven(reason verify.Reason, format string, args ...any) *verify.Refusal {
	fact := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	return &verify.Refusal{Reason: reason, Fact: fact, Remedy: remedyFor(reason)}
}

// reasonOf is what the reasons of Rekor v1 evidence come to.
func reasonOf(r rekorv1.Reason, byKey bool) verify.Reason {
	switch r {
	case rekorv1.Malformed, rekorv1.TooLarge, rekorv1.Panicked:
		return verify.Corrupt
	case rekorv1.OtherArtifact:
		return verify.SubjectMismatch
	case rekorv1.BadSignature:
		return verify.BadSignature
	case rekorv1.CertificateExpired:
		return verify.Expired
	case rekorv1.NoKey:
		return verify.UntrustedSigner
	case rekorv1.OtherKey:
		if byKey { // most likely it is the key given that is another
			return verify.UntrustedSigner
		}
	}
	return verify.NotLogged
}

func (c *rootChecker) prove(raw []byte) (*rootResult, error) {
	parsed, err := rekorv1.Parse(raw)
	if err != nil {
		return nil, err
	}
	var entry *rekorv1.Entry
	if !parsed.RekorV2() {
		if entry, err = c.logs.Verify(parsed, rekorv1.Want{Digest: c.subject, Key: c.keyPEM}); err != nil {
			return nil, err
		}
	}
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, unproven(verify.Corrupt, "%v", err)
	}
	result, err := c.sigstore.Verify(b, sigstore.NewPolicy(c.artifact(), c.signer()))
	if err != nil {
		return nil, c.diagnose(b, err)
	}
	r := c.result(b, result)
	if entry != nil {
		r.Log = ofV1(entry)
		return r, c.logKeyCounted(entry, result)
	}
	r.Log, err = c.ofV2(b)
	return r, err
}

func (c *rootChecker) artifact() sigstore.ArtifactPolicyOption {
	return sigstore.WithArtifactDigest("sha256", c.subject.Sum())
}

// signer is the policy for whose signature it is. Certificate identities that
// do not parse are refused as a wrong identity is.
func (c *rootChecker) signer() sigstore.PolicyOption {
	if c.key != nil {
		return sigstore.WithKey()
	}
	id, err := sigstore.NewShortCertificateIdentity(c.issuer, "", c.identity, "")
	if err != nil {
		return func(*sigstore.PolicyConfig) error { return err }
	}
	return sigstore.WithCertificateIdentity(id)
}

func (c *rootChecker) result(b *bundle.Bundle, result *sigstore.VerificationResult) *rootResult {
	r := &rootResult{Key: c.keyID}
	if cert := result.Signature.Certificate; cert != nil {
		r.Identity, r.Issuer = cert.SubjectAlternativeName, cert.Issuer
	}
	if result.Statement != nil {
		r.Type = result.Statement.GetPredicateType()
	}
	for _, t := range result.VerifiedTimestamps {
		if t.Timestamp.After(r.Signed) {
			r.Signed = t.Timestamp.UTC()
		}
	}
	return r
}

// logKeyCounted asks of an entry without a time of its own that the log's key
// was valid when the signature was seen.
func (c *rootChecker) logKeyCounted(e *rekorv1.Entry, result *sigstore.VerificationResult) error {
	if e.Promised() {
		return nil
	}
	for _, t := range result.VerifiedTimestamps {
		if err := e.CountsAt(t.Timestamp); err != nil {
			return err
		}
	}
	return nil
}

func ofV1(e *rekorv1.Entry) *logResult {
	return &logResult{
		Rekor: 1, Kind: e.Kind, Version: e.Version, ID: e.LogID, URL: e.LogURL,
		Index: e.LogIndex, TreeIndex: e.TreeIndex, Integrated: e.Integrated,
	}
}

// ofV2 reads where a Rekor v2 log has the entry. sigstore-go built the leaf
// again and asked the log about that, without a look at the one the bundle
// carries; so that one is asked about as well, before anything of it is told.
func (c *rootChecker) ofV2(b *bundle.Bundle) (*logResult, error) {
	entries, err := b.TlogEntries()
	if err != nil || len(entries) != 1 || !entries[0].IsRekorV2() {
		return nil, unproven(verify.NotLogged, "the log entry is none of Rekor v2: %v", err)
	}
	e := entries[0]
	id := hex.EncodeToString([]byte(e.LogKeyID()))
	log := c.root.RekorLogs()[id]
	if log == nil {
		return nil, unproven(verify.NotLogged, "the trusted root has no log %s", id)
	}
	v, err := signature.LoadVerifier(log.PublicKey, log.SignatureHashFunc)
	if err != nil {
		return nil, unproven(verify.NotLogged, "key of log %s: %v", id, err)
	}
	u, err := url.Parse(log.BaseURL)
	if err != nil {
		return nil, unproven(verify.NotLogged, "log %s: %v", id, err)
	}
	if err := tlog.VerifyCheckpointAndInclusion(e, v, u.Hostname()); err != nil {
		return nil, unproven(verify.NotLogged, "canonicalizedBody is another entry than this signature's: %v", err)
	}
	return &logResult{
		Rekor: 2, Kind: ledger.EntryKind, Version: ledger.EntryVersion, ID: id, URL: log.BaseURL,
		Index: e.LogIndex(), TreeIndex: e.LogIndex(),
	}, nil
}

// diagnose says which of the things sigstore-go checks does not hold; err is
// what it said.
func (c *rootChecker) diagnose(b *bundle.Bundle, err error) error {
	times, logErr := c.sigstore.VerifyTransparencyLogInclusion(b)
	if logErr != nil {
		return unproven(verify.NotLogged, "%v", logErr)
	}
	if _, timeErr := c.sigstore.VerifyObserverTimestamps(b, times); timeErr != nil {
		return unproven(verify.NotLogged, "%v", timeErr)
	}
	content, contentErr := b.SignatureContent()
	key, keyErr := b.VerificationContent()
	if contentErr != nil || keyErr != nil {
		return unproven(verify.Corrupt, "%v", err)
	}
	if (c.key != nil) != (key.PublicKey() != nil) {
		return unproven(verify.UntrustedSigner, "%v", err)
	}
	if m := content.MessageSignatureContent(); m != nil {
		if !bytes.Equal(m.Digest(), c.subject.Sum()) {
			return unproven(verify.SubjectMismatch, "the bundle says it signs %x, want %s", m.Digest(), c.subject)
		}
		err := sigstore.VerifySignatureWithArtifactDigests(content, key, c.material, []sigstore.ArtifactDigest{{Algorithm: "sha256", Digest: c.subject.Sum()}})
		if err != nil {
			return unproven(verify.BadSignature, "%v", err)
		}
	} else if sigErr := sigstore.VerifySignature(content, key, c.material); sigErr != nil {
		return unproven(verify.BadSignature, "%v", sigErr)
	} else if _, aboutErr := c.sigstore.Verify(b, sigstore.NewPolicy(c.artifact(), sigstore.WithoutIdentitiesUnsafe())); aboutErr != nil {
		if _, anyErr := c.sigstore.Verify(b, sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), sigstore.WithoutIdentitiesUnsafe())); anyErr == nil {
			return unproven(verify.SubjectMismatch, "%v", aboutErr)
		}
	}
	return unproven(verify.UntrustedSigner, "%v", err)
}
