package attest

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// TypeSummary is SLSA's verification summary (SLSA v1.0, Verification Summary
// Attestation). Nothing of ours reads one: it is for others.
const TypeSummary = "https://slsa.dev/verification_summary/v1"

// Results and levels of a summary. Those that do not begin with SLSA_ are ours.
const (
	SummaryPassed = "PASSED"
	SummaryFailed = "FAILED"

	LevelFailed   = "FAILED"
	LevelBuild1   = "SLSA_BUILD_LEVEL_1"       // there is provenance, and it verified; no more is claimed
	LevelEvidence = "PATCHFIT_EVIDENCE"        // every statement passed every check
	LevelFit      = "PATCHFIT_FIT_ENVIRONMENT" // it fits, on the basis of one environment
	levelFit      = "PATCHFIT_FIT_"            // and the basis of fit
)

// FitLevels returns the levels of what fits on a basis: that it does, and where
// the basis stands on provenance, that there is some.
func FitLevels(basis string) []string {
	switch basis {
	case FitEnvironment, "": // as decisions were recorded before there were others
		return []string{LevelFit, LevelBuild1}
	case FitVendor:
		return []string{levelFit + "VENDOR"}
	}
	return []string{levelFit + strings.ToUpper(basis), LevelBuild1}
}

// A Summary is the predicate of a verification summary.
type Summary struct {
	Verifier     SummaryVerifier      `json:"verifier"`
	TimeVerified time.Time            `json:"timeVerified"` // UTC, whole seconds
	ResourceURI  string               `json:"resourceUri"`
	Policy       ResourceDescriptor   `json:"policy"`
	Inputs       []ResourceDescriptor `json:"inputAttestations"`
	Result       string               `json:"verificationResult"`
	Levels       []string             `json:"verifiedLevels"`
	SLSAVersion  string               `json:"slsaVersion"`
	// Receipt is an extension, under a name of ours, which others ignore.
	Receipt *Receipt `json:"https://github.com/patchfit/patchfit/attestation/receipt/v1,omitzero"`
}

// A SummaryVerifier is who verified.
type SummaryVerifier struct {
	ID      string            `json:"id"` // a URI
	Version map[string]string `json:"version,omitzero"`
}

// A Receipt is what a summary of a gate's decision says of it. docs/spec/vsa.md.
type Receipt struct {
	Decision string           `json:"decision"` // its id
	Host     string           `json:"host"`
	Record   int64            `json:"record"` // sequence of the host's record; 0: none
	Epoch    int64            `json:"epoch"`  // of the evidence
	Site     Digest           `json:"site"`   // of the site policy
	Basis    string           `json:"basis,omitzero"`
	Reasons  []ReceiptFinding `json:"reasons"`
	Warnings []ReceiptFinding `json:"warnings,omitzero"`
}

// A ReceiptFinding is one reason of a denial, or one warning of an allow.
type ReceiptFinding struct {
	Reason string `json:"reason"`
	Rule   string `json:"rule"`
	Want   string `json:"want"`
	Got    string `json:"got"`
}

const slsaVersion = "1.0"

// OCIResource returns the package URL of a manifest: registry may be "".
func OCIResource(registry, repository string, manifest Digest) string {
	name := repository[strings.LastIndex(repository, "/")+1:]
	where := repository
	if registry != "" {
		where = registry + "/" + repository
	}
	return "pkg:oci/" + url.PathEscape(strings.ToLower(name)) + "@" + url.QueryEscape(string(manifest)) + "?repository_url=" + url.PathEscape(where)
}

// SignSummary returns the DSSE envelope of a verification summary about
// subjects, signed by s.
func SignSummary(v Summary, subjects []Subject, s signature.Signer) ([]byte, error) {
	v.SLSAVersion, v.TimeVerified = slsaVersion, v.TimeVerified.UTC().Truncate(time.Second)
	if u, err := url.Parse(v.Verifier.ID); err != nil || u.Scheme == "" {
		return nil, errors.New("a verifier's id is a URI, as https://verifier.example/production")
	}
	if v.ResourceURI == "" || len(v.Levels) == 0 || v.Policy.Digest == nil || (v.Result == SummaryPassed) == (v.Levels[0] == LevelFailed) {
		return nil, errors.New("a verification summary needs a resource, a policy, levels and the result they are of")
	}
	raw, err := strictjson.Canonical(v)
	if err != nil {
		return nil, err
	}
	statement, err := NewStatement(TypeSummary, subjects, Unknown(raw))
	if err != nil {
		return nil, err
	}
	signature, err := sign(PayloadType, statement, s)
	if err != nil {
		return nil, err
	}
	signature.KeyID = "" // verifiers skip signatures whose id is of another scheme
	return encodeEnvelope(&Envelope{PayloadType: PayloadType, Payload: statement, Signatures: []Signature{signature}})
}
